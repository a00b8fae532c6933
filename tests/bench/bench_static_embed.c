/* How many short texts a second the house embedder turns into vectors on one core. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "engine/static_embed.h"

/* About ten words each, as passages' sentences and questions have. */
static const char *const texts[] = {
    "How many points did the home team score in the second half of the game?",
    "¿Cuándo termina mi contrato de alquiler y con cuánta antelación debo avisar?",
    "The boundary layer of a wing in a slipstream is thinner near the leading edge.",
    "La fotosíntesis ocurre en las hojas de las plantas cuando reciben luz.",
    "Utility to set IPv6 address preferences for a single process.",
    "El paquete contiene los archivos de cabecera para el desarrollo.",
    "What is the population of the largest city on the Baltic coast?",
    "Una ley de 1998 que obliga a los municipios a publicar sus cuentas.",
};

static double cpu_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
    enum { COUNT = sizeof(texts) / sizeof(texts[0]), ROUNDS = 20000 };
    struct static_embed model;
    struct err err;
    double begin = cpu_seconds();
    if (argc != 2 || !static_embed_open(argv[1], &model, &err)) {
        fprintf(stderr, "%s\n", argc == 2 ? err.message[LANG_EN] : "usage: PROGRAM MODEL.gguf");
        return 1;
    }
    float *vector = calloc(model.dimensions, sizeof(*vector));
    if (!vector)
        return 1;
    double opened = cpu_seconds();
    size_t pieces = 0;
    for (size_t round = 0; round < ROUNDS; round++)
        for (size_t i = 0; i < COUNT; i++)
            pieces += static_embed_text(&model, texts[i], strlen(texts[i]), vector);
    double seconds = cpu_seconds() - opened;
    printf("opened in %.1f ms; %.0f texts/s of %.1f pieces, one core\n", (opened - begin) * 1e3,
           COUNT * ROUNDS / seconds, (double)pieces / (COUNT * ROUNDS));
    free(vector);
    static_embed_close(&model);
    return 0;
}
