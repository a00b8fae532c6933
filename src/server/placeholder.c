typedef int jarvis_server_placeholder; /* until the layer has its first file */
