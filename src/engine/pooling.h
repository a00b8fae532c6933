/* pooling.h - names of the ways in which a model turns the vectors of a text's tokens into one. Pure. */
#ifndef JARVIS_ENGINE_POOLING_H
#define JARVIS_ENGINE_POOLING_H

#include <llama.h>

/* "none" "mean" "cls" "last" "rank". */
const char *pooling_name(enum llama_pooling_type pooling);

#endif
