#include <malloc.h>
#include <stdlib.h>
#include <unistd.h>

#include "engine/device.h"
#include "engine/forecast.h"
#include "engine/inspect.h"
#include "engine/pooling.h"
#include "engine/sandbox.h"
#include "engine/static_role.h"
#include "engine/worker.h"
#include "engine/worker_main.h"
#include "ipc/protocol.h"

enum { LOAD_ARENA = 1 << 20, PROGRESS_MS = 50 };

/* ---------------------------------------------------------------- progress */

struct loading {
    struct worker *worker;
    struct job *job;
    int64_t last_ns; /* when progress was sent */
};

static bool on_progress(void *user, float fraction, uint64_t file_bytes)
{
    struct loading *loading = user;
    if (loading->last_ns == 0 || fraction >= 1 || clock_ms_since(loading->last_ns) >= PROGRESS_MS) {
        loading->last_ns = clock_now_ns();
        struct str payload;
        str_init(&payload, FRAME_PAYLOAD_MAX);
        msg_put_progress(&payload,
                         &(struct msg_progress){.fraction = fraction, .bytes_total = file_bytes});
        reply_send(loading->worker, FRAME_PROGRESS, loading->job->request.id, &payload);
    }
    atomic_fetch_add(&loading->worker->queue.pulse.beats, 1);
    return !atomic_load(&loading->job->cancelled);
}

/* ---------------------------------------------------------------- opening */

/* Opens the model and the engine of its role; nothing is left open on failure. */
static bool open_model(struct worker *worker, struct job *job, const struct msg_load *load,
                       struct err *err)
{
    struct loading loading = {.worker = worker, .job = job};
    struct model *model = &worker->model;
    struct pulse *pulse = &worker->queue.pulse;
    if (!model_open(&worker->backend, load, on_progress, &loading, model, err))
        return false;
    bool ok = load->role == ROLE_CHAT ? llm_open(model, load->slots, pulse, &worker->llm, err)
                                      : encoder_open(model, pulse, &worker->encoder, err);
    if (!ok)
        model_close(model);
    return ok;
}

static bool open_table(struct worker *worker, const struct msg_load *load, struct err *err)
{
    if (!static_role_open(load, &worker->table, &worker->model, err))
        return false;
    worker->encoder.dimensions = worker->table.dimensions;
    return true;
}

static bool open_speech(struct worker *worker, struct job *job, const struct msg_load *load,
                        struct err *err)
{
    struct loading loading = {.worker = worker, .job = job};
    return speech_open(load, on_progress, &loading, &worker->speech, &worker->model, err);
}

static bool open_role(struct worker *worker, struct job *job, const struct msg_load *load,
                      struct err *err)
{
    if (load->role != ROLE_PARSER && static_embed_is(load->path))
        return open_table(worker, load, err);
    if (load->role != ROLE_PARSER && (load->role == ROLE_SPEECH || speech_file_is(load->path)))
        return open_speech(worker, job, load, err);
    if (load->role != ROLE_PARSER)
        return open_model(worker, job, load, err);
    return !load->charset[0] || charset_open(load->charset, &worker->charset, err);
}

static enum sandbox_kind sandbox_for(const struct worker *worker)
{
    if (worker->role == ROLE_PARSER)
        return SANDBOX_PARSER;
    return worker->model.on_gpu ? SANDBOX_MODEL_GPU : SANDBOX_MODEL;
}

static void send_loaded(struct worker *worker, uint64_t id, uint64_t held,
                        const struct sandbox_report *sandbox)
{
    const struct model *model = &worker->model;
    bool parser = worker->role == ROLE_PARSER, chat = worker->role == ROLE_CHAT;
    struct msg_loaded loaded = {
        .description = parser ? "document parser" : model->description,
        .parameters = model->parameters,
        .file_bytes = model->file_bytes,
        .resident_bytes = held,
        .context_length = model->context_length,
        .train_context = model->train_context,
        .slots = chat ? llm_slots(worker->llm) : 1,
        .dimensions = worker->role == ROLE_EMBEDDING ? worker->encoder.dimensions : 0,
        .pooling = pooling_name(model->pooling),
        .has_template = chat && llm_has_template(worker->llm),
        .sandboxed = sandbox->seccomp,
        .landlocked = sandbox->landlock,
    };
    struct str payload;
    str_init(&payload, FRAME_PAYLOAD_MAX);
    msg_put_loaded(&payload, &loaded);
    reply_send(worker, FRAME_LOADED, id, &payload);
}

/* Before a model file is looked at. A GPU's driver wants too much for that: there the sandbox only closes. */
static bool restrain(struct worker *worker, bool on_gpu, struct err *err)
{
    if (!on_gpu && !worker->restrained)
        worker->restrained = sandbox_begin(err);
    return on_gpu || worker->restrained;
}

/* Other hosts are met before any right is given up: a FORECAST comes first, and its LOAD finds them there. */
static bool join_hosts(struct worker *worker, const struct msg_load *load, struct err *err)
{
    if (!worker->joined && load->gpu_layers != 0 && load->role != ROLE_PARSER)
        worker->joined = device_add_hosts(load->rpc_hosts, err);
    return worker->joined || load->gpu_layers == 0 || load->role == ROLE_PARSER;
}

static bool load(struct worker *worker, struct job *job, const struct msg_load *load,
                 struct err *err)
{
    if (worker->loaded)
        return err_set(err, ERR_CONFLICT,
                       "this worker already holds a model; load another one in a new worker");
    if (load->role != ROLE_PARSER && !static_embed_is(load->path))
        backend_load(&worker->backend); /* so that they are not counted as the model's memory */
    if (!join_hosts(worker, load, err))
        return false;
    measure_begin(&worker->measure, load->path);
    bool on_gpu = load->gpu_layers != 0 && backend_has_gpu();
    if (load->role != ROLE_PARSER && !restrain(worker, on_gpu, err))
        return false;
    if (!open_role(worker, job, load, err))
        return atomic_load(&job->cancelled) ? cancel_error(err) : false;
    worker->loaded = true;
    worker->role = load->role;
    struct sandbox_report sandbox;
    if (!sandbox_close(sandbox_for(worker), &sandbox, err)) {
        reply_error(worker, job->request.id, err);
        _exit(WORKER_EXIT_SANDBOX); /* a model that nothing holds is not used */
    }
    malloc_trim(0); /* what reading the file and making the sandbox's filter has left in the heap */
    send_loaded(worker, job->request.id, measure_held(&worker->measure), &sandbox);
    return true;
}

void load_answer(struct worker *worker, struct job *job)
{
    struct arena arena;
    arena_init(&arena, LOAD_ARENA);
    struct msg_load message;
    struct err err;
    if (!msg_get_load(job->request.payload, job->request.length, &arena, &message, &err) ||
        !load(worker, job, &message, &err))
        reply_error(worker, job->request.id, &err);
    arena_free(&arena);
}

void load_inspect(struct worker *worker, struct job *job)
{
    struct arena arena;
    arena_init(&arena, LOAD_ARENA);
    const char *path;
    struct msg_inspected inspected;
    struct err err;
    if (msg_get_path(job->request.payload, job->request.length, &arena, &path, &err) &&
        restrain(worker, false, &err) &&
        (speech_file_is(path) ? speech_inspect(path, &arena, &inspected, &err)
                              : inspect_file(path, &arena, &inspected, &err))) {
        struct str payload;
        str_init(&payload, FRAME_PAYLOAD_MAX);
        msg_put_inspected(&payload, &inspected);
        reply_send(worker, FRAME_INSPECTED, job->request.id, &payload);
    } else {
        reply_error(worker, job->request.id, &err);
    }
    arena_free(&arena);
}

void load_devices(struct worker *worker, struct job *job)
{
    struct arena arena;
    arena_init(&arena, LOAD_ARENA);
    const char *hosts;
    struct msg_devices devices;
    struct err err;
    backend_load(&worker->backend);
    if (msg_get_path(job->request.payload, job->request.length, &arena, &hosts, &err) &&
        device_add_hosts(hosts, &err) && device_list(&arena, &devices, &err)) {
        struct str payload;
        str_init(&payload, FRAME_PAYLOAD_MAX);
        msg_put_devices(&payload, &devices);
        reply_send(worker, FRAME_DEVICES_FOUND, job->request.id, &payload);
    } else {
        reply_error(worker, job->request.id, &err);
    }
    arena_free(&arena);
}

/* A GPU's driver is asked for its devices, so there the process keeps its rights; it is ended afterwards, or loads. */
static bool forecast(struct worker *worker, const struct msg_load *load, struct arena *arena,
                     struct msg_forecast *ret, struct err *err)
{
    if (worker->loaded)
        return err_set(err, ERR_CONFLICT,
                       "this worker already holds a model; load another one in a new worker");
    backend_load(&worker->backend);
    return join_hosts(worker, load, err) &&
           restrain(worker, load->gpu_layers != 0 && backend_has_gpu(), err) &&
           forecast_file(&worker->backend, &worker->measure, load, arena, ret, err);
}

void load_forecast(struct worker *worker, struct job *job)
{
    struct arena arena;
    arena_init(&arena, LOAD_ARENA);
    struct msg_load message;
    struct msg_forecast told;
    struct err err;
    if (msg_get_load(job->request.payload, job->request.length, &arena, &message, &err) &&
        forecast(worker, &message, &arena, &told, &err)) {
        struct str payload;
        str_init(&payload, FRAME_PAYLOAD_MAX);
        msg_put_forecast(&payload, &told);
        reply_send(worker, FRAME_FORECASTED, job->request.id, &payload);
    } else {
        reply_error(worker, job->request.id, &err);
    }
    arena_free(&arena);
}
