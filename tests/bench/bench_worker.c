/* What a worker costs on the tiny models: start, load, embeddings, tokens. Prints numbers and judges none. */
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/clock.h"
#include "helper/gguf_make.h"
#include "helper/testing.h"
#include "helper/worker_peer.h"

enum {
    ROUNDS = 15,
    TEXTS = 1000,
    TOKENS = 400,
    WARM_UP_MS = 200, /* a spare has loaded its back ends by then */
};

struct bench {
    const char *program;
    char *chat;
    char *embed;
};

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static void tell(const char *what, double ms[ROUNDS])
{
    qsort(ms, ROUNDS, sizeof(*ms), by_value);
    printf("%-42s median %6.1f ms, best %6.1f ms\n", what, ms[ROUNDS / 2], ms[0]);
}

static double load_ms(struct worker_peer *peer, const struct bench *bench)
{
    int64_t start = clock_now_ns();
    worker_peer_load(peer, ROLE_EMBEDDING, bench->embed, 1);
    return clock_ms_since(start);
}

static void measure_starts(const struct bench *bench)
{
    double hello[ROUNDS], fresh[ROUNDS], spare[ROUNDS];
    for (int i = 0; i < ROUNDS; i++) {
        struct worker_peer peer;
        int64_t start = clock_now_ns();
        worker_peer_start(&peer, bench->program);
        hello[i] = clock_ms_since(start);
        fresh[i] = load_ms(&peer, bench);
        worker_peer_stop(&peer);
        worker_peer_start(&peer, bench->program);
        poll(&(struct pollfd){.fd = peer.fd, .events = POLLIN}, 1, WARM_UP_MS); /* nothing comes */
        spare[i] = load_ms(&peer, bench);
        worker_peer_stop(&peer);
    }
    tell("start to HELLO", hello);
    tell("LOAD in a new worker, back ends included", fresh);
    tell("LOAD in a spare", spare);
}

static void measure_embeddings(const struct bench *bench)
{
    struct worker_peer peer;
    worker_peer_start(&peer, bench->program);
    struct msg_loaded loaded = worker_peer_load(&peer, ROLE_EMBEDDING, bench->embed, 1);
    const char *texts[TEXTS];
    for (int i = 0; i < TEXTS; i++)
        texts[i] = "the dog eats meat in the garden of the house by the river";
    struct str payload;
    str_init(&payload, FRAME_PAYLOAD_MAX);
    msg_put_texts(&payload, &(struct msg_texts){.texts = texts, .count = TEXTS});
    int64_t start = clock_now_ns();
    struct frame frame;
    worker_peer_expect(&peer, FRAME_VECTORS, worker_peer_send(&peer, FRAME_EMBED, &payload),
                       &frame);
    double seconds = clock_ms_since(start) / 1000;
    frame_free(&frame);
    printf("%-42s %.0f texts/s\n", "embedding texts of 13 words", TEXTS / seconds);
    printf("%-42s %.1f MB\n", "memory that the embedder took", (double)loaded.resident_bytes / 1e6);
    worker_peer_stop(&peer);
}

static void measure_tokens(const struct bench *bench, uint32_t conversations)
{
    struct worker_peer peer;
    worker_peer_start(&peer, bench->program);
    worker_peer_load(&peer, ROLE_CHAT, bench->chat, conversations);
    struct msg_generate generate = {.prompt = "hello"};
    sampling_default(&generate.sampling);
    generate.sampling.max_tokens = TOKENS;
    generate.sampling.temperature = 0;
    generate.sampling.grammar = "root ::= [a-z] root"; /* never lets it end earlier */
    int64_t start = clock_now_ns();
    uint64_t last = 0;
    for (uint32_t i = 0; i < conversations; i++) {
        struct str payload;
        str_init(&payload, FRAME_PAYLOAD_MAX);
        msg_put_generate(&payload, &generate);
        last = worker_peer_send(&peer, FRAME_GENERATE, &payload);
    }
    struct frame frame;
    worker_peer_expect(&peer, FRAME_DONE, last, &frame);
    frame_free(&frame);
    printf("writing with a grammar, %u at once %*s%.0f tokens/s\n", conversations, 8, "",
           conversations * TOKENS * 1000.0 / clock_ms_since(start));
    worker_peer_stop(&peer);
}

int main(int argc, char **argv)
{
    if (argc != 2)
        return 2;
    char *directory = testing_directory();
    struct bench bench = {.program = argv[1],
                          .chat = testing_path(directory, GGUF_MAKE_CHAT),
                          .embed = testing_path(directory, GGUF_MAKE_EMBED)};
    if (gguf_make_all(directory, NULL)) {
        measure_starts(&bench);
        measure_embeddings(&bench);
        measure_tokens(&bench, 1);
        measure_tokens(&bench, 4);
    }
    testing_remove(directory);
    free(bench.chat);
    free(bench.embed);
    return 0;
}
