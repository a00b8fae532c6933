typedef int jarvis_ipc_placeholder; /* until the layer has its first file */
