/* catalogue.c - the list, and the rule of thumb behind "suits".
 *
 * A model writes a token by reading its weights once, so its speed is the memory's bandwidth divided by their size. A
 * processor core of today reads some 3 GiB a second when all do; five tokens a second, the pace of reading, is what is
 * asked of a chat model. A GPU is fast enough for whatever fits into it.
 */
#include "orchestrator/catalogue.h"

#include <stdlib.h>
#include <string.h>

enum {
    CORE_MIB_PER_S = 3072,
    TOKENS_PER_S = 5,
    ROOM_PERCENT = 70, /* of the memory for one model: the others want some, and its cache too */
};

#define N_(english) english

static const struct catalogue_entry entries[] = {
    {.role = ROLE_CHAT,
     .name = "Qwen2.5 0.5B Instruct",
     .source = "hf:Qwen/Qwen2.5-0.5B-Instruct-GGUF:Q4_K_M",
     .licence = "Apache-2.0",
     .mib = 469,
     .active_mib = 469,
     .quality = 1,
     .multilingual = true,
     .note = N_("for machines with little memory")},
    {.role = ROLE_CHAT,
     .name = "Qwen2.5 1.5B Instruct",
     .source = "hf:Qwen/Qwen2.5-1.5B-Instruct-GGUF:Q4_K_M",
     .licence = "Apache-2.0",
     .mib = 1066,
     .active_mib = 1066,
     .quality = 2,
     .multilingual = true,
     .note = N_("quick on a laptop without a GPU")},
    {.role = ROLE_CHAT,
     .name = "Qwen3 4B Instruct 2507",
     .source = "hf:unsloth/Qwen3-4B-Instruct-2507-GGUF:Q4_K_M",
     .licence = "Apache-2.0",
     .mib = 2382,
     .active_mib = 2382,
     .quality = 3,
     .multilingual = true,
     .note = N_("good answers, still quick")},
    {.role = ROLE_CHAT,
     .name = "Qwen2.5 7B Instruct",
     .source = "hf:Qwen/Qwen2.5-7B-Instruct-GGUF:Q4_K_M",
     .licence = "Apache-2.0",
     .mib = 4467,
     .active_mib = 4467,
     .quality = 4,
     .multilingual = true,
     .note = N_("for eight cores, or a GPU of 8 GiB")},
    {.role = ROLE_CHAT,
     .name = "Qwen2.5 14B Instruct",
     .source = "hf:Qwen/Qwen2.5-14B-Instruct-GGUF:Q4_K_M",
     .licence = "Apache-2.0",
     .mib = 8572,
     .active_mib = 8572,
     .quality = 5,
     .multilingual = true,
     .note = N_("for a GPU of 12 GiB or more")},
    {.role = ROLE_CHAT,
     .name = "Qwen3 30B-A3B Instruct 2507",
     .source = "hf:unsloth/Qwen3-30B-A3B-Instruct-2507-GGUF:Q4_K_M",
     .licence = "Apache-2.0",
     .mib = 17697,
     .active_mib = 2100,
     .quality = 6,
     .multilingual = true,
     .note = N_("much memory, little work a token: good without a GPU too")},
    {.role = ROLE_EMBEDDING,
     .name = "all-MiniLM-L6-v2",
     .source = "hf:second-state/All-MiniLM-L6-v2-Embedding-GGUF:Q8_0",
     .licence = "Apache-2.0",
     .mib = 24,
     .active_mib = 24,
     .quality = 1,
     .note = N_("small and very quick, English")},
    {.role = ROLE_EMBEDDING,
     .name = "nomic-embed-text v1.5",
     .source = "hf:nomic-ai/nomic-embed-text-v1.5-GGUF:Q8_0",
     .licence = "Apache-2.0",
     .mib = 140,
     .active_mib = 140,
     .quality = 2,
     .query_prefix = "search_query: ",
     .passage_prefix = "search_document: ",
     .note = N_("long passages, English")},
    {.role = ROLE_EMBEDDING,
     .name = "BGE-M3",
     .source = "hf:gpustack/bge-m3-GGUF:Q8_0",
     .licence = "MIT",
     .mib = 606,
     .active_mib = 606,
     .quality = 3,
     .multilingual = true,
     .note = N_("a hundred languages, also questions in one about texts in another")},
    {.role = ROLE_RERANK,
     .name = "jina-reranker v1 tiny",
     .source = "hf:gpustack/jina-reranker-v1-tiny-en-GGUF:Q8_0",
     .licence = "Apache-2.0",
     .mib = 35,
     .active_mib = 35,
     .quality = 1,
     .note = N_("quick without a GPU, English")},
    {.role = ROLE_RERANK,
     .name = "BGE reranker v2 m3",
     .source = "hf:gpustack/bge-reranker-v2-m3-GGUF:Q8_0",
     .licence = "Apache-2.0",
     .mib = 607,
     .active_mib = 607,
     .quality = 2,
     .multilingual = true,
     .note = N_("many languages")},
    {.role = ROLE_SPEECH,
     .name = "Whisper base",
     .source = "hf:ggerganov/whisper.cpp/ggml-base.bin",
     .licence = "MIT",
     .mib = 142,
     .active_mib = 142,
     .quality = 1,
     .multilingual = true,
     .note = N_("clear speech, quick")},
    {.role = ROLE_SPEECH,
     .name = "Whisper small",
     .source = "hf:ggerganov/whisper.cpp/ggml-small.bin",
     .licence = "MIT",
     .mib = 466,
     .active_mib = 466,
     .quality = 2,
     .multilingual = true,
     .note = N_("the smallest that is good at Spanish")},
    {.role = ROLE_SPEECH,
     .name = "Whisper large v3 turbo",
     .source = "hf:ggerganov/whisper.cpp/ggml-large-v3-turbo-q5_0.bin",
     .licence = "MIT",
     .mib = 547,
     .active_mib = 1600,
     .quality = 3,
     .multilingual = true,
     .note = N_("the best, for a GPU or many cores")},
};
enum { ENTRY_COUNT = sizeof(entries) / sizeof(*entries) };

const struct catalogue_entry *catalogue_at(size_t index)
{
    return index < ENTRY_COUNT ? &entries[index] : NULL;
}

static uint64_t room_of(uint64_t bytes)
{
    return bytes / 100 * ROOM_PERCENT;
}

bool catalogue_suits(const struct catalogue_entry *entry, const struct catalogue_machine *machine)
{
    uint64_t bytes = (uint64_t)entry->mib << 20;
    if (bytes <= room_of(machine->gpu_bytes))
        return true;
    uint32_t cores = machine->cores > 0 ? machine->cores : 1;
    bool quick = (uint64_t)entry->active_mib * TOKENS_PER_S <= (uint64_t)cores * CORE_MIB_PER_S;
    /* Passages are read in batches, so the weights of an encoder are read once for many tokens; but each token costs
     * work, of which a core does little. */
    if (entry->role == ROLE_EMBEDDING || entry->role == ROLE_RERANK)
        quick = entry->active_mib <= 100 * cores;
    return quick && bytes <= room_of(machine->memory_bytes);
}

const struct catalogue_entry *catalogue_recommend(enum model_role role,
                                                  const struct catalogue_machine *machine,
                                                  enum lang lang)
{
    const struct catalogue_entry *best = NULL;
    const struct catalogue_entry *smallest = NULL;
    for (size_t i = 0; i < ENTRY_COUNT; i++) {
        const struct catalogue_entry *entry = &entries[i];
        if (entry->role != role || (lang == LANG_ES && !entry->multilingual))
            continue;
        if (!smallest || entry->mib < smallest->mib)
            smallest = entry;
        if (catalogue_suits(entry, machine) && (!best || entry->quality > best->quality))
            best = entry;
    }
    return best ? best : smallest;
}

static bool find_recommended(const char *role_name, const struct catalogue_machine *machine,
                             enum lang lang, const struct catalogue_entry **ret, struct err *err)
{
    enum model_role role = ROLE_CHAT;
    const struct catalogue_entry *entry = NULL;
    if (*role_name == '\0' || model_role_parse(role_name, &role))
        entry = catalogue_recommend(role, machine, lang);
    if (!entry)
        return err_set_param(err, ERR_INVALID_REQUEST, "source",
                             "\"%s\" is no role with a recommended model; there are: chat, "
                             "embedding, rerank, speech",
                             role_name);
    *ret = entry;
    return true;
}

bool catalogue_find(const char *text, const struct catalogue_machine *machine, enum lang lang,
                    const struct catalogue_entry **ret, struct err *err)
{
    static const char word[] = "recommended";
    size_t length = strlen(word);
    if (strncmp(text, word, length) == 0 && (text[length] == '\0' || text[length] == ':'))
        return find_recommended(text[length] ? text + length + 1 : "", machine, lang, ret, err);
    *ret = NULL;
    if (*text == '\0' || strspn(text, "0123456789") != strlen(text))
        return true;
    unsigned long number = strtoul(text, NULL, 10);
    *ret = number > 0 ? catalogue_at(number - 1) : NULL;
    return *ret || err_set_param(err, ERR_NOT_FOUND, "source",
                                 "there is no number %s in the list of models, which has %d; see: "
                                 "jarvis pull --recommend",
                                 text, (int)ENTRY_COUNT);
}

const struct catalogue_entry *catalogue_by_source(const char *source)
{
    for (size_t i = 0; i < ENTRY_COUNT; i++)
        if (strcmp(entries[i].source, source) == 0)
            return &entries[i];
    return NULL;
}
