typedef int jarvis_orchestrator_placeholder; /* until the layer has its first file */
