typedef int jarvis_retrieval_placeholder; /* until the layer has its first file */
