/* make_models DIR: writes the tiny models of gguf_make.h into DIR, which must exist. */
#include <stdio.h>

#include "helper/gguf_make.h"

int main(int argc, char **argv)
{
    struct err err;
    if (argc != 2) {
        fprintf(stderr, "usage: make_models DIR\n");
        return 2;
    }
    if (!gguf_make_all(argv[1], &err)) {
        fprintf(stderr, "make_models: %s\n", err.message[LANG_EN]);
        return 1;
    }
    return 0;
}
