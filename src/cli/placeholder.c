typedef int jarvis_cli_placeholder; /* until the layer has its first file */
