/* house_notice.h - what a person is told where a small model that came with the program did the work.
 *
 * Purpose: answers of the service have "house_models", the roles for which a model of the house was used. A command
 *   says so once, in one line on standard error, after what it was asked for; with --json the list is a field.
 * Owner:   nothing is kept. Threads: one. Fails: never.
 */
#ifndef JARVIS_CLI_HOUSE_NOTICE_H
#define JARVIS_CLI_HOUSE_NOTICE_H

#include "base/json.h"
#include "cli/command.h"

/* The line, unless `roles` (the list; may be NULL) is empty. */
void house_notice_print(const struct cli *cli, yyjson_val *roles);

/* The list as a field of `object`, when the service told it. */
void house_notice_add(yyjson_mut_doc *doc, yyjson_mut_val *object, yyjson_val *roles);

#endif
