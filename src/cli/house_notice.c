#include "cli/house_notice.h"

#include <string.h>

static const char *role_word(enum lang lang, const char *role)
{
    if (strcmp(role, "embedding") == 0)
        return TR(lang, "embedder");
    if (strcmp(role, "rerank") == 0)
        return TR(lang, "reranker");
    if (strcmp(role, "speech") == 0)
        return TR(lang, "speech model");
    return role;
}

void house_notice_print(const struct cli *cli, yyjson_val *roles)
{
    if (yyjson_arr_size(roles) == 0)
        return;
    struct str words;
    str_init(&words, 256);
    yyjson_arr_iter walk = yyjson_arr_iter_with(roles);
    yyjson_val *role;
    while ((role = yyjson_arr_iter_next(&walk))) {
        const char *name = yyjson_get_str(role);
        str_printf(&words, "%s%s", words.length > 0 ? ", " : "",
                   role_word(cli->lang, name ? name : ""));
    }
    fflush(cli->out.file);
    fputs(term_on(&cli->err, STYLE_DIM), cli->err.file);
    fprintf(cli->err.file,
            TR(cli->lang, "using the built-in %s (small); better: jarvis pull --recommend"),
            str_text(&words));
    fprintf(cli->err.file, "%s\n", term_off(&cli->err));
    str_free(&words);
}

void house_notice_add(yyjson_mut_doc *doc, yyjson_mut_val *object, yyjson_val *roles)
{
    if (roles)
        yyjson_mut_obj_add_val(doc, object, "house_models", yyjson_val_mut_copy(doc, roles));
}
