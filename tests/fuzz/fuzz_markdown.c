/* Fuzzes Markdown: the text stays as it is, its title is found by md4c. */
#include "parsed_check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    parsed_try("page.md", DOCUMENT_MARKDOWN, data, size, NULL);
    return 0;
}
