/* lang.h - what a person reads, in English or Spanish.
 *
 * Purpose: English text stands in the code and is the key; po/es/<layer>.po holds the Spanish of it, and the
 *   build turns those files into one constant table (tools/gen_catalogue).
 * Owner:   all strings returned are constants of the program.
 * Threads: safe from any; nothing here changes.
 * Fails:   never; a text without translation is returned as it is.
 */
#ifndef JARVIS_BASE_LANG_H
#define JARVIS_BASE_LANG_H

enum lang { LANG_EN, LANG_ES, LANG_COUNT };

/* The text of `english` (a string literal known to the catalogue) for a reader of `lang`. */
const char *lang_text(enum lang lang, const char *english) __attribute__((format_arg(2)));

/* Shorthand used where text is printed; tools/check_catalogue looks for it. */
#define TR(lang, english) lang_text((lang), (english))

/* From LC_ALL, LC_MESSAGES, LANG in that order: Spanish when it begins with "es", else English. */
enum lang lang_from_environment(void);

/* From an Accept-Language header (RFC 9110 12.5.4): the language of the two with the higher quality; NULL,
 * "*" or neither of them: English. */
enum lang lang_from_header(const char *accept_language);

/* "en" or "es". */
const char *lang_code(enum lang lang);

#endif
