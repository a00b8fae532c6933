/* command.h - what a command is, and what every command gets.
 *
 * A new command is one file, cmd_NAME.c, that defines `const struct command command_NAME`, and one
 * row of the table in commands.c. The table makes `jarvis help`, `jarvis NAME --help` and the
 * nearest name for a misspelt one.
 */
#ifndef JARVIS_CLI_COMMAND_H
#define JARVIS_CLI_COMMAND_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/lang.h"
#include "cli/options.h"
#include "cli/term.h"

/* Marks a text that stands in a table and is given to TR later, so that the catalogue's checks see
 * it. */
#define N_(english) english

enum { EXIT_SOME_FAILED = 1 }; /* the other exit codes are those of ERR_TABLE */

struct cli {
    enum lang lang;
    struct term out; /* answers, lists, data */
    struct term err; /* progress, notices, errors */
    bool json;       /* --json was given: data as JSON, errors too */
};

struct command {
    const char *name;
    /* Does it. *ret_exit is EXIT_SUCCESS before; false with *err ends with its exit code. */
    bool (*run)(struct cli *cli, const struct options *options, int *ret_exit, struct err *err);
    const char *usage;   /* after the name: "QUESTION…"; N_ */
    const char *summary; /* one line; N_ */
    const char *details; /* paragraphs for --help, or NULL; N_ */
    const struct option_spec *options;
    size_t option_count;
    bool hidden; /* not in `jarvis help` */
};

/* The rows of common options, for a command's own table. */
/* clang-format off */
#define OPTION_JSON_ROW  {.name = "json", .type = OPTION_FLAG, .help = N_("print JSON")}
#define OPTION_STORE_ROW {.name = "store", .type = OPTION_LIST, .value = N_("NAME"), \
                          .help = N_("the store to use (may be repeated)")}
#define OPTION_TOP_K_ROW {.name = "top-k", .type = OPTION_INT, .value = "N", \
                          .help = N_("passages to find"), .min = 1, .max = 1000}
#define OPTION_ALPHA_ROW {.name = "alpha", .type = OPTION_NUMBER, .value = "A", \
                          .help = N_("weight of meaning against words: 0 only words, " \
                                     "1 only meaning"), .max = 1}
#define OPTION_FUSION_ROW {.name = "fusion", .type = OPTION_TEXT, .value = N_("HOW"), \
                           .help = N_("how words and meaning are joined: convex, rrf or max")}
/* clang-format on */

/* All words with one blank between them; the caller frees. */
bool command_join_words(const struct options *options, char **ret, struct err *err);

/* For commands that take no words. */
bool command_no_words(const struct options *options, struct err *err);

/* Prints a document and a newline. */
bool command_print_json(const struct cli *cli, const yyjson_mut_doc *doc, struct err *err);

/* --- the service --- */

struct client;

/* Everything that a command needs to talk to the service, which is started when none runs. */
struct session {
    struct fs_paths paths;
    struct client *client;
};

bool session_open(const struct cli *cli, struct session *ret, struct err *err);
void session_close(struct session *session);

/* --- the table --- */

const struct command *command_find(const char *name); /* NULL: there is none */
const struct command *command_at(size_t index);       /* NULL: past the end */

/* The text of `jarvis help` and `jarvis help NAME`, on cli->out. */
void command_print_overview(const struct cli *cli);
void command_print_help(const struct cli *cli, const struct command *command);

/* ERR_INVALID_REQUEST naming the nearest command. Returns false. */
bool command_unknown(const char *name, struct err *err);

/* The whole program after main(): returns the exit code. */
int command_main(int argc, const char *const *argv);

#endif
