typedef int jarvis_engine_placeholder; /* until the layer has its first file */
