/* open.c - the beginning and the end of a registry. */
#include <sched.h>
#include <stdlib.h>

#include "orchestrator/device.h"
#include "orchestrator/internal.h"

enum { CANCEL_MS = 15000, PARSE_MS = 60000 };
enum { BACKOFF_MS = 100, BACKOFF_MAX_MS = 30000, OPEN_TIMES_MAX = 20, PROBE_MS = 60000 };

/* Cores that this process may use. */
static uint32_t core_count(void)
{
    cpu_set_t cores;
    if (sched_getaffinity(0, sizeof(cores), &cores) != 0)
        return 1;
    int count = CPU_COUNT(&cores);
    return count > 0 ? (uint32_t)count : 1;
}

static void registry_free(struct registry *registry)
{
    for (size_t i = 0; i < registry->model_count; i++)
        model_free(registry->models[i]);
    free(registry->models);
    forecasts_close(registry->forecasts);
    free(registry->events);
    free(registry->program);
    free(registry->models_dir);
    cond_destroy(&registry->reaper_wake);
    free(registry->rpc_hosts);
    free(registry->devices);
    cond_destroy(&registry->keeper_wake);
    cond_destroy(&registry->changed);
    mutex_destroy(&registry->lock);
    threads_destroy(&registry->thread_budget);
    cancel_destroy(&registry->closing_cancel);
    free(registry);
}

/* Makes a model of the house known, unless there is none or the configuration has a model of that name. */
static bool add_house(struct registry *registry, const char *name, enum model_role role,
                      const char *path, struct err *err)
{
    char none[] = "";
    const struct model_entry entry = {
        .name = (char *)(uintptr_t)name, /* only read, and copied, as the path is */
        .path = (char *)(uintptr_t)path,
        .role = role,
        .slots = 1,
        .query_prefix = none,
        .passage_prefix = none,
    };
    if (!path || model_find(registry, name))
        return true;
    if (!registry_add(registry, &entry, err))
        return false;
    model_find(registry, name)->house = true;
    return true;
}

static struct breaker_policy breaker_policy_of(const struct config *config)
{
    return (struct breaker_policy){
        .threshold = (uint32_t)config->errors_circuit_failures,
        .backoff_ms = BACKOFF_MS,
        .backoff_max_ms = BACKOFF_MAX_MS,
        .open_ms = (uint32_t)config->errors_circuit_open_s * 1000,
        .open_max_ms = (uint32_t)config->errors_circuit_open_s * 1000 * OPEN_TIMES_MAX,
        .probe_ms = PROBE_MS,
    };
}

/* Asks for the models that shall be there from the beginning; nobody waits for them. */
static void preload(struct registry *registry)
{
    int64_t until_us = registry_now_us() + registry->load_timeout_ms * 1000;
    mutex_lock(&registry->lock);
    for (size_t i = 0; i < registry->model_count; i++) {
        struct model *model = registry->models[i];
        if (!model->entry.preload || model->upstream)
            continue;
        scheduler_request(&registry->scheduler, &model->plan, &model->preload, until_us,
                          registry_now_us());
        registry_decide(registry);
    }
    mutex_unlock(&registry->lock);
}

static bool start_threads(struct registry *registry, struct err *err)
{
    registry->events = calloc(REGISTRY_EVENTS_MAX, sizeof(*registry->events));
    if (!registry->events)
        return err_no_memory(err);
    if (!reaper_start(registry, err))
        return false;
    if (!keeper_start(registry, err)) {
        reaper_stop(registry);
        return false;
    }
    preload(registry);
    return true;
}

static bool fill(struct registry *registry, const struct registry_options *options, struct err *err)
{
    const struct config *config = options->config;
    if (!str_copy(options->program, &registry->program, err) ||
        !str_copy(options->models_dir, &registry->models_dir, err))
        return false;
    struct device_list mocks;
    if (!str_copy(config->worker_rpc_hosts, &registry->rpc_hosts, err) ||
        !str_copy(config->devices, &registry->devices, err) ||
        !device_list_parse(config->devices, &mocks, err))
        return false;
    registry->log = options->log;
    if (!forecasts_open(options->learned, options->exact_forecasts, options->log,
                        &registry->forecasts, err))
        return false;
    registry->keep_spare = options->keep_spare;
    registry->on_use = options->on_use;
    registry->on_use_user = options->on_use_user;
    registry->available_fixed = options->available_bytes;
    registry->cancel_ms = options->cancel_ms > 0 ? options->cancel_ms : CANCEL_MS;
    registry->parse_ms = options->parse_ms > 0 ? options->parse_ms : PARSE_MS;
    registry->heartbeat_ms =
        options->heartbeat_ms > 0 ? options->heartbeat_ms : config->worker_heartbeat_s * 1000;
    registry->hang_ms =
        options->hang_ms > 0 ? options->hang_ms : config->worker_hang_timeout_s * 1000;
    registry->health_interval_ms = options->health_interval_ms > 0
                                       ? options->health_interval_ms
                                       : config->upstream_health_interval_s * 1000;
    registry->retries = (uint32_t)config->errors_retries;
    registry->policy = breaker_policy_of(config);
    registry->limit_bytes = (uint64_t)config->memory_limit_mib << 20;
    registry->reserve_bytes = (uint64_t)config->memory_reserve_mib << 20;
    registry->load_timeout_ms = config->worker_load_timeout_s * 1000;
    for (size_t i = 0; i < config->model_count; i++)
        if (!registry_add(registry, &config->models[i], err))
            return false;
    if (!add_house(registry, REGISTRY_HOUSE_EMBEDDER, ROLE_EMBEDDING, options->house_embedder,
                   err) ||
        !add_house(registry, REGISTRY_HOUSE_SPEECH, ROLE_SPEECH, options->house_speech, err))
        return false;
    return start_threads(registry, err);
}

bool registry_open(const struct registry_options *options, struct registry **ret, struct err *err)
{
    struct registry *registry = calloc(1, sizeof(*registry));
    if (!registry)
        return err_no_memory(err);
    registry->threads = options->config->worker_threads > 0
                            ? (uint32_t)options->config->worker_threads
                            : core_count();
    threads_init(&registry->thread_budget, registry->threads);
    mutex_init(&registry->lock);
    cond_init(&registry->changed);
    cond_init(&registry->keeper_wake);
    cond_init(&registry->reaper_wake);
    scheduler_init(&registry->scheduler, OVERTAKES_MAX, (int64_t)DRAIN_MS * 1000);
    registry->cpu = scheduler_device_add(&registry->scheduler, "cpu");
    cancel_init(&registry->closing_cancel);
    if (!fill(registry, options, err)) {
        registry_free(registry);
        return false;
    }
    *ret = registry;
    return true;
}

/* Calls all loads off and hands all models to the reaper, so that their processes end at the same time. */
static void stop_models(struct registry *registry)
{
    mutex_lock(&registry->lock);
    for (struct load *load = registry->loads; load; load = load->next)
        load->stop = true;
    for (size_t i = 0; i < registry->model_count; i++) {
        struct instance *instance = registry->models[i]->instance;
        registry->models[i]->instance = NULL;
        if (instance)
            reaper_end(registry, instance);
    }
    cond_signal(&registry->reaper_wake);
    mutex_unlock(&registry->lock);
}

void registry_close(struct registry *registry)
{
    if (!registry)
        return;
    mutex_lock(&registry->lock);
    registry->closing = true;
    cond_broadcast(&registry->changed);
    cond_signal(&registry->keeper_wake);
    mutex_unlock(&registry->lock);
    cancel_fire(&registry->closing_cancel);
    keeper_stop(registry);
    stop_models(registry);
    parsers_close(registry);
    reaper_stop(registry);
    registry_free(registry);
}
