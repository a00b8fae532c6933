/* make_models DIR: writes the tiny models of gguf_make.h and whisper_make.h into DIR, which must exist. */
#include <stdio.h>

#include "helper/gguf_make.h"
#include "helper/whisper_make.h"

int main(int argc, char **argv)
{
    struct err err;
    if (argc != 2) {
        fprintf(stderr, "usage: make_models DIR\n");
        return 2;
    }
    char speech[4096];
    snprintf(speech, sizeof(speech), "%s/%s", argv[1], WHISPER_MAKE_FILE);
    if (!gguf_make_all(argv[1], &err) || !whisper_make(speech, &err)) {
        fprintf(stderr, "make_models: %s\n", err.message[LANG_EN]);
        return 1;
    }
    return 0;
}
