/* load.c - one load: find the file, tell the scheduler what it needs, wait for its word, get a worker, have it read the
 * model.
 *
 * Runs on a thread of its own and tells the scheduler how it ended; those who wait get their answers from there. Embedders and
 * rerankers are hashed at the same time, by one more thread, because what they compute is stored under the hash.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "orchestrator/internal.h"

enum { LOAD_TRIES = 2, EVENTS_OF_A_LOAD = 20 /* that tell its progress */ };

/* ---------------------------------------------------------------- the file */

bool model_file(const struct model *model, struct file_identity *ret, struct err *err)
{
    struct stat info;
    if (stat(model->path, &info) != 0 && (errno == ENOENT || errno == ENOTDIR))
        return err_set_param(err, ERR_MODEL_NOT_FOUND, "model",
                             "the file of model \"%s\" is missing: \"%s\"; put it there, or name "
                             "another with \"jarvis models add FILE\"",
                             model->entry.name, model->path);
    if (stat(model->path, &info) != 0)
        return err_set_errno(err, ERR_MODEL_INVALID, errno,
                             "cannot read the file of model \"%s\", \"%s\"", model->entry.name,
                             model->path);
    if (!S_ISREG(info.st_mode))
        return err_set_param(err, ERR_MODEL_INVALID, "model",
                             "\"%s\", named as the file of model \"%s\", is not a file",
                             model->path, model->entry.name);
    *ret = (struct file_identity){
        .device = info.st_dev,
        .inode = info.st_ino,
        .size = (uint64_t)info.st_size,
        .modified_ns = (int64_t)info.st_mtim.tv_sec * 1000000000 + info.st_mtim.tv_nsec,
    };
    return true;
}

void model_question(const struct model *model, const struct file_identity *file,
                    struct memory_question *ret)
{
    const struct model_entry *entry = &model->entry;
    *ret = (struct memory_question){
        .name = entry->name,
        .path = model->path,
        .file = *file,
        .role = entry->role,
        .context = entry->context_length,
        .slots = entry->slots > 0 ? entry->slots : 1,
        .kv_type = entry->kv_type,
        .gpu_layers = entry->gpu_layers,
        .devices = entry->devices,
    };
}

/* ---------------------------------------------------------------- the hash */

struct hashing {
    const char *path;
    struct cancel cancel;
    pthread_t thread;
    bool started;
    bool ok;
    struct hash hash;
    struct err err;
};

static void *run_hashing(void *argument)
{
    struct hashing *hashing = argument;
    hashing->ok =
        hash_file_cancellable(hashing->path, &hashing->cancel, &hashing->hash, &hashing->err);
    return NULL;
}

/* Finds the hash in what is known of the file, or begins to compute it. A chat model's is not needed. */
static bool hashing_start(struct hashing *hashing, struct load *load, struct instance *instance,
                          struct err *err)
{
    struct registry *registry = load->registry;
    const struct model *model = load->model;
    mutex_lock(&registry->lock);
    instance->hash_known =
        model->hash_known && file_identity_equal(&model->hashed_file, &instance->file);
    instance->hash = model->hash;
    mutex_unlock(&registry->lock);
    if (instance->hash_known || model->entry.role == ROLE_CHAT)
        return true;
    hashing->path = model->path;
    hashing->started = thread_start(&hashing->thread, "model-hash", run_hashing, hashing, err);
    return hashing->started;
}

static bool hashing_end(struct hashing *hashing, struct instance *instance, bool wanted,
                        struct err *err)
{
    if (!hashing->started)
        return true;
    if (!wanted)
        cancel_fire(&hashing->cancel);
    pthread_join(hashing->thread, NULL);
    if (!hashing->ok) {
        if (wanted && err)
            *err = hashing->err;
        return false;
    }
    instance->hash = hashing->hash;
    instance->hash_known = true;
    return true;
}

/* ---------------------------------------------------------------- the worker */

static void tell_progress(struct load *load, const struct frame *frame)
{
    struct arena none;
    struct msg_progress progress;
    arena_init(&none, 0);
    if (msg_get_progress(frame->payload, frame->length, &none, &progress, NULL)) {
        mutex_lock(&load->registry->lock);
        load->fraction = progress.fraction;
        load->bytes_total = progress.bytes_total;
        if (load->fraction >= load->told_fraction + 1.0F / EVENTS_OF_A_LOAD) {
            const struct why why = {
                .code = WHY_READING, .fraction = load->fraction, .need = load->bytes_total};
            load->told_fraction = load->fraction;
            model_note(load->registry, load->model, &why);
        }
        cond_broadcast(&load->registry->changed);
        mutex_unlock(&load->registry->lock);
    }
    arena_free(&none);
}

/* Reads the answer to LOAD into the instance. */
static bool await_loaded(struct load *load, struct worker_call *call, struct instance *instance,
                         struct err *err)
{
    for (;;) {
        struct frame frame;
        if (!worker_call_next(call, &frame, err))
            return false;
        bool progress = frame.type == FRAME_PROGRESS;
        bool ok = progress;
        if (progress)
            tell_progress(load, &frame);
        else if (frame.type == FRAME_LOADED)
            ok = msg_get_loaded(frame.payload, frame.length, &instance->arena, &instance->loaded,
                                err);
        else
            err_set(err, ERR_PROTOCOL,
                    "the worker process of \"%s\" answered with a message of type %u; restart the "
                    "service",
                    call->what, (unsigned)frame.type);
        frame_free(&frame);
        if (!progress || !ok)
            return ok;
    }
}

static bool read_model(struct load *load, struct worker *worker, const struct wait *wait,
                       struct instance *instance, struct err *err)
{
    const struct model_entry *entry = &load->model->entry;
    const struct scheduler_shape *shape = &load->model->plan.shapes[load->model->plan.shape];
    const struct msg_load message = {
        .role = entry->role,
        .path = load->model->path,
        .context_length = shape->context,
        .slots = entry->slots > 0 ? entry->slots : 1,
        .threads = load->registry->threads,
        .gpu_layers = shape->gpu_layers,
        .devices = entry->devices,
        .rpc_hosts = load->registry->rpc_hosts,
        .kv_type = entry->kv_type,
        .charset = "",
    };
    mutex_lock(&load->registry->lock);
    load->stage = LOAD_READING;
    load->started_ns = clock_now_ns();
    mutex_unlock(&load->registry->lock);
    struct str payload;
    str_init(&payload, FRAME_PAYLOAD_MAX);
    msg_put_load(&payload, &message);
    struct worker_call call;
    bool ok = worker_call(worker, FRAME_LOAD, &payload, entry->name, wait, &call, err);
    if (ok) {
        ok = await_loaded(load, &call, instance, err);
        if (!ok)
            worker_kill(worker); /* nothing else is in it: no need to ask */
        worker_call_end(&call);
    }
    str_free(&payload);
    return ok;
}

/* A model that makes its worker crash will do so again. (A worker that was killed may have been in the way of another
 * program: that is no fault of the file.) */
static void blame_file(struct load *load, struct worker *worker, struct err *err)
{
    const struct model *model = load->model;
    char cause[PROCESS_CAUSE_MAX];
    load->crashed = err->code == ERR_WORKER_DIED && worker_cause(worker, cause);
    if (load->crashed)
        err_set_param(
            err, ERR_MODEL_INVALID, "model",
            "model \"%s\" cannot be loaded: its worker process ended (%s); the file \"%s\" "
            "is probably damaged: download it again",
            model->entry.name, cause, model->path);
}

/* Gets a worker and has it load the model. */
static bool load_once(struct load *load, const struct wait *wait, struct instance *instance,
                      struct err *err)
{
    struct registry *registry = load->registry;
    struct worker *worker = load->warm;
    load->warm = NULL;
    if (worker && worker_is_dead(worker)) {
        worker_free(worker, deadline_in_ms(0));
        worker = NULL;
    }
    if (!worker && !keeper_take_worker(registry, wait, &worker, err))
        return false;
    struct hashing hashing = {0};
    cancel_init(&hashing.cancel);
    bool ok = hashing_start(&hashing, load, instance, err) &&
              read_model(load, worker, wait, instance, err);
    ok = hashing_end(&hashing, instance, ok, err) && ok;
    cancel_destroy(&hashing.cancel);
    if (ok) {
        instance->worker = worker;
        return true;
    }
    blame_file(load, worker, err);
    worker_free(worker, deadline_in_ms(0));
    return false;
}

/* The embeddings of one file must not be stored under the hash of another. */
static bool file_unchanged(const struct model *model, const struct instance *instance,
                           struct err *err)
{
    struct file_identity now;
    if (!model_file(model, &now, err))
        return false;
    if (file_identity_equal(&now, &instance->file))
        return true;
    return err_set_param(err, ERR_CONFLICT, "model",
                         "the file of model \"%s\" changed while it was loaded; try again",
                         model->entry.name);
}

/* Tells the scheduler what the model needs and waits until it says start, or stop. */
static bool await_start(struct load *load, uint64_t file_bytes,
                        const struct scheduler_shape *shapes, size_t count, struct err *err)
{
    struct registry *registry = load->registry;
    struct model *model = load->model;
    mutex_lock(&registry->lock);
    load->stage = LOAD_QUEUED;
    load->bytes_total = file_bytes;
    admit_measure(registry);
    if (!load->stop && !registry->closing) {
        scheduler_prepared(&registry->scheduler, &model->plan, shapes, count, registry_now_us());
        registry_decide(registry);
    }
    while (!load->admitted && !load->stop && !registry->closing)
        cond_wait(&registry->changed, &registry->lock, INT64_MAX);
    bool admitted = load->admitted && !load->stop;
    load->stage = LOAD_WORKER;
    mutex_unlock(&registry->lock);
    return admitted || cancel_error(err);
}

static bool load_model(struct load *load, struct instance *instance, struct err *err)
{
    struct scheduler_shape shapes[SCHEDULER_SHAPES_MAX];
    size_t count;
    if (!model_file(load->model, &instance->file, err))
        return false;
    if (!admit_shapes(load, &instance->file, shapes, &count, err) ||
        !await_start(load, instance->file.size, shapes, count, err)) {
        if (load->warm)
            worker_kill(load->warm); /* nothing is in it */
        worker_free(load->warm, deadline_in_ms(0));
        return false;
    }
    instance->context = load->model->plan.shapes[load->model->plan.shape].context;
    const struct wait wait = {.cancel = &load->cancel,
                              .until = deadline_in_ms(load->registry->load_timeout_ms)};
    bool ok = load_once(load, &wait, instance, err);
    for (int tries = 1; !ok && err->code == ERR_WORKER_DIED && tries < LOAD_TRIES; tries++)
        ok = load_once(load, &wait, instance, err);
    return ok && file_unchanged(load->model, instance, err);
}

/* ---------------------------------------------------------------- begin and end */

/* What it holds counts from now on. With the lock. */
static void learn(struct model *model, struct instance *instance)
{
    instance->bytes = instance->loaded.resident_bytes;
    if (model->plan.shape == 0 && instance->bytes < model->forecast.bytes)
        instance->bytes = model->forecast.bytes; /* its buffers fill as it is used */
    if (instance->hash_known) {
        model->hashed_file = instance->file;
        model->hash = instance->hash;
        model->hash_known = true;
    }
}

/* What the model holds of each device: measured on the machine, as planned elsewhere. */
static struct scheduler_bytes held_by(const struct registry *registry,
                                      const struct instance *instance)
{
    const struct scheduler_model *plan = &instance->model->plan;
    struct scheduler_bytes held = plan->shapes[plan->shape].bytes;
    held.on[registry->cpu] = instance->bytes;
    return held;
}

void model_measured(struct registry *registry, struct instance *instance)
{
    if (instance->model->instance != instance)
        return;
    struct scheduler_bytes held = held_by(registry, instance);
    scheduler_measured(&registry->scheduler, &instance->model->plan, &held, registry_now_us());
    registry_decide(registry);
}

static void succeed(struct load *load, struct instance *instance)
{
    struct registry *registry = load->registry;
    struct model *model = load->model;
    double ms = clock_ms_since(load->started_ns);
    learn(model, instance);
    instance->references = 1;
    instance->model = model;
    if (registry->closing) {
        reaper_end(registry, instance);
        return;
    }
    model->instance = instance;
    model->failed = false;
    struct scheduler_bytes held = held_by(registry, instance);
    const struct why why = {.code = WHY_LOADED, .need = instance->bytes, .seconds = ms / 1000};
    scheduler_load_done(&registry->scheduler, &model->plan, &held, (int64_t)(ms * 1000),
                        registry_now_us());
    model_note(registry, model, &why);
    registry_decide(registry);
    if (model->instance == instance && worker_is_dead(instance->worker))
        model_lost(registry, model); /* before anybody could be told of it */
}

static void fail(struct load *load, const struct err *err)
{
    struct registry *registry = load->registry;
    struct model *model = load->model;
    bool stopped = load->stop || err->code == ERR_CANCELLED;
    model->load_err = *err;
    model->failed = !stopped;
    if (!stopped) {
        struct why why = {.code = WHY_FAILED};
        why_put_error(&why, err);
        model_note(registry, model, &why);
    }
    if (load->crashed || err->code == ERR_WORKER_DIED || err->code == ERR_PROTOCOL)
        model_trouble(registry, model, NULL, err_message(err, LANG_EN));
    scheduler_load_failed(&registry->scheduler, &model->plan, registry_now_us());
    registry_decide(registry);
}

static void *run_load(void *argument)
{
    struct load *load = argument;
    struct registry *registry = load->registry;
    struct cancel_hook hook = {.fire = registry_wake, .argument = registry};
    struct err err;
    bool ok = false;
    struct instance *instance = calloc(1, sizeof(*instance));
    if (instance) {
        arena_init(&instance->arena, INSTANCE_ARENA_MAX);
        cancel_watch(&load->cancel, &hook);
        ok = load_model(load, instance, &err);
        cancel_unwatch(&load->cancel, &hook);
    } else {
        err_no_memory(&err);
    }
    if (ok) {
        struct memory_question question;
        model_question(load->model, &instance->file, &question);
        question.context = instance->context;
        memory_seen(registry, &question, instance->loaded.resident_bytes, &instance->sample);
    }
    mutex_lock(&registry->lock);
    load->model->load = NULL;
    if (ok)
        succeed(load, instance);
    else
        fail(load, &err);
    load->done = true;
    cond_broadcast(&registry->changed);
    cond_signal(&registry->reaper_wake);
    mutex_unlock(&registry->lock);
    if (!ok && instance)
        instance_free(instance);
    return NULL;
}

bool load_start(struct registry *registry, struct model *model, struct err *err)
{
    struct load *load = calloc(1, sizeof(*load));
    if (!load)
        return err_no_memory(err);
    load->registry = registry;
    load->model = model;
    cancel_init(&load->cancel);
    struct load **end = &registry->loads;
    while (*end)
        end = &(*end)->next;
    if (!thread_start(&load->thread, "model-load", run_load, load, err)) {
        cancel_destroy(&load->cancel);
        free(load);
        return false;
    }
    *end = load; /* the thread waits for the lock before it looks */
    model->load = load;
    return true;
}

void load_free(struct load *load)
{
    pthread_join(load->thread, NULL);
    cancel_destroy(&load->cancel);
    free(load);
}
