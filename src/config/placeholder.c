typedef int jarvis_config_placeholder; /* until the layer has its first file */
