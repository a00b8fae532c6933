/* utf8.h - UTF-8 as RFC 3629 has it: no surrogates, no overlong forms, nothing above U+10FFFF.
 *
 * Purpose: decode, check and cut text without ever splitting a character.
 * Owner:   works on the caller's bytes. Threads: safe from any. Fails: by return value only.
 */
#ifndef JARVIS_BASE_UTF8_H
#define JARVIS_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Reads the character at text[0..length): its code point into *ret_point and its size in bytes (1..4) as
 * result. 0: the bytes are invalid here. -1: they are the beginning of a character that is cut off. */
int utf8_decode(const char *text, size_t length, uint32_t *ret_point);

/* Writes `point` to out[0..4) and returns its size; points that UTF-8 cannot hold become U+FFFD. */
size_t utf8_encode(uint32_t point, char out[4]);

/* True when all of text[0..length) is valid. */
bool utf8_valid(const char *text, size_t length);

/* The number of bytes at the beginning of text that are complete, valid characters. */
size_t utf8_valid_prefix(const char *text, size_t length);

/* The largest offset <= at that does not stand inside a character of (valid) text. */
size_t utf8_floor(const char *text, size_t length, size_t at);

/* Cuts an incomplete last character off a NUL-terminated string. */
void utf8_trim_partial(char *text);

#endif
