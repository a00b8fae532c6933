/* speech_miniaudio.h - <miniaudio.h> with what is not used left out, the same for all who include it. */
#ifndef JARVIS_ENGINE_SPEECH_MINIAUDIO_H
#define JARVIS_ENGINE_SPEECH_MINIAUDIO_H

#define MA_NO_DEVICE_IO
#define MA_NO_THREADING
#define MA_NO_ENCODING
#define MA_NO_GENERATION
#define MA_NO_RESOURCE_MANAGER
#define MA_NO_NODE_GRAPH
#define MA_NO_ENGINE
#define MA_NO_RUNTIME_LINKING
#include <miniaudio.h>

#endif
