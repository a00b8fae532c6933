typedef int jarvis_base_placeholder; /* until the layer has its first file */
