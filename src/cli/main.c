#include <stdio.h>

#include "config.h"

int main(void)
{
    return printf("jarvis %s\n", JARVIS_VERSION) < 0;
}
