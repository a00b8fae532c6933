typedef int jarvis_observe_placeholder; /* until the layer has its first file */
