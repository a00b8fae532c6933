typedef int jarvis_voice_placeholder; /* until the layer has its first file */
