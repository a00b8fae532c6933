#include "helper/gguf_edit.h"

#include <ggml.h>

bool gguf_edit(const char *from, const char *to, void (*edit)(struct gguf_context *gguf),
               struct err *err)
{
    struct ggml_context *tensors = NULL;
    struct gguf_context *old =
        gguf_init_from_file(from, (struct gguf_init_params){.no_alloc = false, .ctx = &tensors});
    struct gguf_context *copy = old ? gguf_init_empty() : NULL;
    bool ok = copy != NULL;
    if (ok) {
        gguf_set_kv(copy, old);
        edit(copy);
        for (int64_t i = 0; i < gguf_get_n_tensors(old); i++)
            gguf_add_tensor(copy, ggml_get_tensor(tensors, gguf_get_tensor_name(old, i)));
        ok = gguf_write_to_file(copy, to, false);
    }
    gguf_free(copy);
    gguf_free(old);
    if (tensors)
        ggml_free(tensors);
    return ok ? true : err_set(err, ERR_IO, "cannot copy %s to %s", from, to);
}
