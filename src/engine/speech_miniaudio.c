/* miniaudio is a header; this is the one place where it becomes code. Only its decoders and its resampler do. */
#define MINIAUDIO_IMPLEMENTATION
#include "engine/speech_miniaudio.h"
