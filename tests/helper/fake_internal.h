/* fake_internal.h - what the two files of the fake assistant share. Owner and threads: as in fake_assistant.h. */
#ifndef JARVIS_TESTS_FAKE_INTERNAL_H
#define JARVIS_TESTS_FAKE_INTERNAL_H

#include "assistant/stores.h"
#include "base/hash.h"
#include "base/thread.h"
#include "helper/fake_assistant.h"

enum { FAKE_ITEMS_MAX = 64, FAKE_NAME_MAX = 128 };

struct fake_file {
    char id[ID_MAX]; /* "": free */
    char name[FAKE_NAME_MAX];
    char purpose[FAKE_NAME_MAX];
    char *bytes;
    size_t length;
};

struct fake_store {
    char id[ID_MAX];
    char name[FAKE_NAME_MAX];
    char metadata[1024];
    char files[FAKE_ITEMS_MAX][ID_MAX];
    size_t file_count;
};

struct registry {
    struct runtime *runtime;
};

struct runtime {
    struct config config;
    struct registry registry;
    struct mutex lock; /* guards what follows */
    struct cond changed;
    bool holding;
    bool broken;
    size_t allowed; /* words that may still be computed while holding */
    size_t words;
    size_t held;
    size_t cancelled;
    struct fake_file files[FAKE_ITEMS_MAX];
    size_t file_count;
    struct fake_store stores[FAKE_ITEMS_MAX];
    size_t store_count;
};

/* The lock must be held. NULL: there is none. */
struct fake_store *fake_find_store(struct runtime *runtime, const char *id_or_name);
struct fake_file *fake_find_file(struct runtime *runtime, const char *id);

/* One more word may be computed: waits while holding. false: cancelled or timed out, with the error. */
bool fake_step(struct runtime *runtime, struct request *request, struct err *err);

#endif
