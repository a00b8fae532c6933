/* Fuzzes web pages: any bytes become text and a map that keep their promises. */
#include "parsed_check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    parsed_try("page.html", DOCUMENT_HTML, data, size, NULL);
    return 0;
}
