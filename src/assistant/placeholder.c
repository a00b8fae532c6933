typedef int jarvis_assistant_placeholder; /* until the layer has its first file */
