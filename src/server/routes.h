/* routes.h - the table of everything that the service answers. Constant; threads: safe from any. */
#ifndef JARVIS_SERVER_ROUTES_H
#define JARVIS_SERVER_ROUTES_H

#include <stddef.h>

#include "server/route.h"

extern const struct route routes_table[];
extern const size_t routes_count;

#endif
