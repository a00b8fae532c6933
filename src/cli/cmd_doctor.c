/* `jarvis doctor`: looks at everything that an installation needs, says of each whether it is well,
 * and what to do where it is not. Each check is a function that reports one line or a few; none
 * stops the others. The last ones ask the service, which is started for it. */
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <curl/curl.h>

#include "cli/client.h"
#include "cli/command.h"
#include "cli/model_view.h"
#include "cli/service.h"
#include "config/config.h"

#include "config.h"

enum {
    LABEL_COLUMNS = 14,
    DISK_WARN_MIB = 1024,
    DISK_FAIL_MIB = 64,
    MEMORY_WARN_MIB = 1024,
    MIB = 1024 * 1024,
    TEXT_MAX = 4096,
};

enum verdict { VERDICT_OK, VERDICT_WARN, VERDICT_FAIL };

struct doctor {
    struct cli *cli;
    struct fs_paths paths;
    yyjson_mut_doc *json; /* {"checks": [{"check", "result", "detail", "advice"}]} */
    yyjson_mut_val *checks;
    size_t failed;
};

static const char *verdict_name(enum verdict verdict)
{
    static const char *const names[] = {"OK", "WARN", "FAIL"};
    return names[verdict];
}

/* One line of the report; `advice` "" where there is nothing to do. */
static void report(struct doctor *doctor, enum verdict verdict, const char *check,
                   const char *detail, const char *advice)
{
    static const enum term_style styles[] = {STYLE_GREEN, STYLE_YELLOW, STYLE_RED};
    const struct term *term = &doctor->cli->out;
    doctor->failed += verdict == VERDICT_FAIL;
    if (doctor->cli->json) {
        yyjson_mut_val *row = yyjson_mut_arr_add_obj(doctor->json, doctor->checks);
        yyjson_mut_obj_add_strcpy(doctor->json, row, "check", check);
        yyjson_mut_obj_add_str(doctor->json, row, "result", verdict_name(verdict));
        yyjson_mut_obj_add_strcpy(doctor->json, row, "detail", detail);
        yyjson_mut_obj_add_strcpy(doctor->json, row, "advice", advice);
        return;
    }
    size_t width = text_width(check, strlen(check));
    fprintf(term->file, "%s%-4s%s  %s%*s  ", term_on(term, styles[verdict]), verdict_name(verdict),
            term_off(term), check, width < LABEL_COLUMNS ? (int)(LABEL_COLUMNS - width) : 0, "");
    term_write(term, detail, strlen(detail));
    if (*advice) {
        fprintf(term->file, "\n%*s-> ", LABEL_COLUMNS + 8, "");
        term_write(term, advice, strlen(advice));
    }
    fputs("\n", term->file);
    fflush(term->file);
}

static void report_err(struct doctor *doctor, enum verdict verdict, const char *check,
                       const struct err *err, const char *advice)
{
    report(doctor, verdict, check, err_message(err, doctor->cli->lang), advice);
}

/* --- directories and configuration --- */

static void check_directory(struct doctor *doctor, const char *check, const char *path, bool secret)
{
    enum lang lang = doctor->cli->lang;
    struct stat status;
    if (stat(path, &status) < 0 || !S_ISDIR(status.st_mode) || access(path, R_OK | W_OK | X_OK) < 0)
        report(doctor, VERDICT_FAIL, check, path,
               TR(lang, "it must be a directory that you can write: see ls -ld on it"));
    else if (secret && (status.st_mode & 077) != 0)
        report(doctor, VERDICT_WARN, check, path,
               TR(lang, "other users may look into it: chmod 700 on it"));
    else
        report(doctor, VERDICT_OK, check, path, "");
}

static void check_directories(struct doctor *doctor)
{
    enum lang lang = doctor->cli->lang;
    check_directory(doctor, TR(lang, "settings"), doctor->paths.config, false);
    check_directory(doctor, TR(lang, "data"), doctor->paths.data, true);
    check_directory(doctor, TR(lang, "state, log"), doctor->paths.state, true);
    check_directory(doctor, TR(lang, "cache"), doctor->paths.cache, false);
    check_directory(doctor, TR(lang, "models"), doctor->paths.models, false);
    check_directory(doctor, TR(lang, "socket"), doctor->paths.run, true);
}

/* False when it cannot be read: the service would say the same again. */
static bool check_config(struct doctor *doctor)
{
    enum lang lang = doctor->cli->lang;
    struct config *config;
    struct err err;
    if (!config_load(doctor->paths.config_file, &config, &err)) {
        report_err(doctor, VERDICT_FAIL, TR(lang, "configuration"), &err,
                   TR(lang, "correct that line of the file; jarvis help config tells more"));
        return false;
    }
    bool exists = fs_exists(doctor->paths.config_file);
    report(doctor, VERDICT_OK, TR(lang, "configuration"),
           exists ? doctor->paths.config_file
                  : TR(lang, "no file, so every setting has its default"),
           "");
    config_free(config);
    return true;
}

/* --- the machine --- */

static void check_disk(struct doctor *doctor)
{
    enum lang lang = doctor->cli->lang;
    struct statvfs disk;
    if (statvfs(doctor->paths.data, &disk) < 0) {
        report(doctor, VERDICT_FAIL, TR(lang, "disk"), strerror(errno), "");
        return;
    }
    uint64_t free_bytes = (uint64_t)disk.f_bavail * disk.f_frsize;
    struct str text;
    struct str size;
    str_init(&text, TEXT_MAX);
    str_init(&size, 64);
    text_bytes(&size, free_bytes);
    str_printf(&text, TR(lang, "%s free"), str_text(&size));
    enum verdict verdict = free_bytes < (uint64_t)DISK_FAIL_MIB * MIB   ? VERDICT_FAIL
                           : free_bytes < (uint64_t)DISK_WARN_MIB * MIB ? VERDICT_WARN
                                                                        : VERDICT_OK;
    report(doctor, verdict, TR(lang, "disk"), str_text(&text),
           verdict == VERDICT_OK ? "" : TR(lang, "make room where the data is kept"));
    str_free(&size);
    str_free(&text);
}

/* MemAvailable of /proc/meminfo in bytes; 0: unknown. */
static uint64_t memory_available(void)
{
    FILE *file = fopen("/proc/meminfo", "re");
    if (!file)
        return 0;
    char line[256];
    unsigned long long kib = 0;
    while (kib == 0 && fgets(line, sizeof(line), file))
        if (strncmp(line, "MemAvailable:", 13) == 0)
            kib = strtoull(line + 13, NULL, 10);
    fclose(file);
    return (uint64_t)kib * 1024;
}

static void check_memory(struct doctor *doctor)
{
    enum lang lang = doctor->cli->lang;
    uint64_t available = memory_available();
    struct str text;
    struct str size;
    str_init(&text, TEXT_MAX);
    str_init(&size, 64);
    text_bytes(&size, available);
    str_printf(&text, TR(lang, "%s free, %ld cores"), str_text(&size),
               sysconf(_SC_NPROCESSORS_ONLN));
    bool low = available < (uint64_t)MEMORY_WARN_MIB * MIB;
    report(doctor, low ? VERDICT_WARN : VERDICT_OK, TR(lang, "memory"), str_text(&text),
           low ? TR(lang, "only small models will fit; end other programs") : "");
    str_free(&size);
    str_free(&text);
}

static void check_libraries(struct doctor *doctor)
{
    char text[256];
    snprintf(text, sizeof(text), "jarvis %s, libcurl %s, yyjson %s", JARVIS_VERSION,
             curl_version_info(CURLVERSION_NOW)->version, YYJSON_VERSION_STRING);
    report(doctor, VERDICT_OK, TR(doctor->cli->lang, "libraries"), text, "");
}

/* ggml finds its back ends (CPU variants, GPUs) in a folder when it is first used. */
static void check_backends(struct doctor *doctor)
{
    enum lang lang = doctor->cli->lang;
    const char *folder = JARVIS_GGML_BACKENDS;
    if (!*folder) {
        report(doctor, VERDICT_OK, TR(lang, "back ends"), TR(lang, "those of the system's libggml"),
               "");
        return;
    }
    glob_t found = {0};
    size_t count =
        glob(JARVIS_GGML_BACKENDS "/libggml-*", 0, NULL, &found) == 0 ? found.gl_pathc : 0;
    globfree(&found);
    char text[TEXT_MAX];
    snprintf(text, sizeof(text), TR(lang, "%zu in %s"), count, folder);
    report(doctor, count > 0 ? VERDICT_OK : VERDICT_FAIL, TR(lang, "back ends"), text,
           count > 0 ? ""
                     : TR(lang, "the libraries are gone: run make again where jarvis was built"));
}

/* --- the service --- */

static void check_sandbox(struct doctor *doctor, struct client *client)
{
    enum lang lang = doctor->cli->lang;
    struct err err;
    yyjson_doc *answer;
    if (!client_call(client, "POST", "/v1/jarvis/probe", NULL, &answer, &err)) {
        report_err(doctor, VERDICT_FAIL, TR(lang, "sandbox"), &err, "");
        return;
    }
    yyjson_val *root = yyjson_doc_get_root(answer);
    if (yyjson_is_true(yyjson_obj_get(root, "sandboxed")))
        report(doctor, VERDICT_OK, TR(lang, "sandbox"),
               TR(lang, "a worker can open no file and no socket, and start no program"), "");
    else
        report(doctor, VERDICT_WARN, TR(lang, "sandbox"),
               TR(lang, "a worker could open files or sockets, or start programs"),
               TR(lang,
                  "the kernel lacks seccomp, or a container forbids it; do not read documents "
                  "that you do not trust"));
    yyjson_doc_free(answer);
}

static void check_model(struct doctor *doctor, const struct model_view *view)
{
    enum lang lang = doctor->cli->lang;
    char text[TEXT_MAX];
    snprintf(text, sizeof(text), "%s (%s): %s", view->name, model_view_role(lang, view->role),
             model_view_state(lang, view->state));
    if (view->file_bytes == 0)
        report(doctor, VERDICT_FAIL, TR(lang, "model"), text,
               TR(lang, "its file is gone: put it back, or jarvis models remove it"));
    else if (strcmp(view->state, "failed") == 0)
        report(doctor, VERDICT_FAIL, TR(lang, "model"), text, view->why);
    else
        report(doctor, VERDICT_OK, TR(lang, "model"), text, "");
}

static void check_models(struct doctor *doctor, struct client *client)
{
    enum lang lang = doctor->cli->lang;
    struct err err;
    yyjson_doc *answer;
    if (!client_call(client, "GET", "/v1/models", NULL, &answer, &err)) {
        report_err(doctor, VERDICT_FAIL, TR(lang, "models"), &err, "");
        return;
    }
    bool chat = false;
    bool embedding = false;
    yyjson_arr_iter walk =
        yyjson_arr_iter_with(yyjson_obj_get(yyjson_doc_get_root(answer), "data"));
    yyjson_val *model;
    while ((model = yyjson_arr_iter_next(&walk))) {
        struct model_view view = model_view_of(model);
        if (!*view.path) /* "jarvis" itself, which is no file */
            continue;
        chat = chat || strcmp(view.role, "chat") == 0;
        embedding = embedding || strcmp(view.role, "embedding") == 0;
        check_model(doctor, &view);
    }
    yyjson_doc_free(answer);
    if (!chat)
        report(doctor, VERDICT_WARN, TR(lang, "chat model"),
               TR(lang, "none: answers are sentences of your documents"),
               TR(lang, "jarvis models add FILE, with any GGUF of a chat model"));
    if (!embedding)
        report(doctor, VERDICT_WARN, TR(lang, "embedding"),
               TR(lang, "none: search goes by words alone"),
               TR(lang, "jarvis models add FILE, with any GGUF of an embedding model"));
}

static void check_service(struct doctor *doctor)
{
    enum lang lang = doctor->cli->lang;
    const struct service_options options = service_own();
    struct client *client;
    struct err err;
    bool started = false;
    if (!service_ensure(&doctor->paths, &options, &started, &err) ||
        !client_open(doctor->paths.socket, lang, &client, &err)) {
        report_err(doctor, VERDICT_FAIL, TR(lang, "service"), &err, doctor->paths.log_file);
        return;
    }
    if (client_call(client, "GET", "/readyz", NULL, NULL, &err))
        report(doctor, VERDICT_OK, TR(lang, "service"),
               started ? TR(lang, "started, and it answers") : TR(lang, "it runs and answers"), "");
    else
        report_err(doctor, VERDICT_FAIL, TR(lang, "service"), &err, doctor->paths.log_file);
    check_sandbox(doctor, client);
    check_models(doctor, client);
    client_close(client);
}

/* --- the command --- */

static void check_all(struct doctor *doctor)
{
    check_directories(doctor);
    bool startable = check_config(doctor);
    check_disk(doctor);
    check_memory(doctor);
    check_libraries(doctor);
    check_backends(doctor);
    if (startable || service_running(&doctor->paths, NULL))
        check_service(doctor);
}

static bool conclude(struct doctor *doctor, struct err *err)
{
    const struct cli *cli = doctor->cli;
    if (cli->json)
        return command_print_json(cli, doctor->json, err);
    if (doctor->failed == 0)
        fprintf(cli->out.file, "\n%s\n", TR(cli->lang, "All is well."));
    else
        fprintf(cli->out.file, TR(cli->lang, "\n%zu of these must be put right.\n"),
                doctor->failed);
    return true;
}

static bool run_doctor(struct cli *cli, const struct options *options, int *ret_exit,
                       struct err *err)
{
    struct doctor doctor = {.cli = cli};
    if (!command_no_words(options, err) || !fs_paths_find(&doctor.paths, err))
        return false;
    doctor.json = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *root = yyjson_mut_obj(doctor.json);
    yyjson_mut_doc_set_root(doctor.json, root);
    doctor.checks = yyjson_mut_obj_add_arr(doctor.json, root, "checks");
    check_all(&doctor);
    bool ok = conclude(&doctor, err);
    if (doctor.failed > 0)
        *ret_exit = EXIT_SOME_FAILED;
    yyjson_mut_doc_free(doctor.json);
    fs_paths_free(&doctor.paths);
    return ok;
}

static const struct option_spec doctor_options[] = {OPTION_JSON_ROW};

const struct command command_doctor = {
    .name = "doctor",
    .run = run_doctor,
    .usage = N_("[--json]"),
    .summary = N_("check the installation and say what to do"),
    .details =
        N_("Looks at the directories, the configuration, disk and memory, the libraries, the "
           "service, its sandbox and the models. The exit code is 1 when something must be put "
           "right; a warning alone is 0."),
    .options = doctor_options,
    .option_count = sizeof(doctor_options) / sizeof(*doctor_options),
};
