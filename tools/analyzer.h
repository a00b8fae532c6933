/* analyzer.h - included before every file that tools/tidy looks at, and by no build.
 *
 * Every failing function ends in `return err_set(...)`. The analyser cannot see into err.c, so it would think that such
 * a function may return true without having set its results; here it sees that the value is false.
 */
#include "../src/base/err.h"

#define err_set(...) ((err_set)(__VA_ARGS__), false)
#define err_set_param(...) ((err_set_param)(__VA_ARGS__), false)
#define err_set_errno(...) ((err_set_errno)(__VA_ARGS__), false)
#define err_no_memory(...) ((err_no_memory)(__VA_ARGS__), false)
