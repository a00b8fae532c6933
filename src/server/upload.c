#include "server/upload.h"

#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/str.h"
#include "base/utf8.h"

enum { PROCESSOR_BUFFER = 4096 };

struct field {
    char name[UPLOAD_FIELD_NAME_MAX];
    struct str value;
};

struct upload {
    struct MHD_PostProcessor *processor;
    struct str content;
    struct str purpose;
    struct field fields[UPLOAD_FIELDS_MAX];
    size_t field_count;
    char name[UPLOAD_NAME_MAX];
    bool has_file;
    bool failed;
    struct err problem; /* when failed */
};

static void fail(struct upload *upload, const struct err *problem)
{
    if (!upload->failed)
        upload->problem = *problem;
    upload->failed = true;
}

/* Keeps what follows the last slash or backslash; a name that is no text becomes "upload". */
static void keep_name(struct upload *upload, const char *given)
{
    const char *name = given;
    for (const char *at = given; *at; at++)
        if (*at == '/' || *at == '\\')
            name = at + 1;
    size_t length = strnlen(name, UPLOAD_NAME_MAX - 1);
    length = utf8_valid_prefix(name, length);
    bool plain = length > 0;
    for (size_t i = 0; i < length; i++)
        plain = plain && (unsigned char)name[i] >= ' ' && name[i] != 0x7f;
    if (!plain) {
        name = "upload";
        length = strlen(name);
    }
    memcpy(upload->name, name, length);
    upload->name[length] = '\0';
}

static void take_file(struct upload *upload, const char *filename, const char *data, uint64_t at,
                      size_t size)
{
    struct err problem;
    if (at == 0 && upload->has_file) {
        err_set_param(&problem, ERR_INVALID_REQUEST, "file",
                      "the request holds more than one file; send them one by one");
        fail(upload, &problem);
        return;
    }
    if (at == 0) {
        upload->has_file = true;
        keep_name(upload, filename ? filename : "");
    }
    str_append(&upload->content, data, size);
}

/* A piece of a field's value; `at` 0 begins the next field. */
static void take_field(struct upload *upload, const char *key, const char *data, uint64_t at,
                       size_t size)
{
    struct err problem;
    if (strlen(key) >= UPLOAD_FIELD_NAME_MAX || size == 0)
        return; /* an empty piece comes where the body arrives in parts, and is no field of its own */
    if (at == 0 && upload->field_count == UPLOAD_FIELDS_MAX) {
        err_set(&problem, ERR_INVALID_REQUEST, "the request holds more than %d fields",
                UPLOAD_FIELDS_MAX);
        fail(upload, &problem);
        return;
    }
    if (at == 0) {
        struct field *field = &upload->fields[upload->field_count++];
        snprintf(field->name, sizeof(field->name), "%s", key);
        str_init(&field->value, UPLOAD_FIELD_MAX);
    }
    if (upload->field_count == 0)
        return;
    struct str *value = &upload->fields[upload->field_count - 1].value;
    str_append(value, data, size);
    if (!str_check(value, key, &problem))
        fail(upload, &problem);
}

static enum MHD_Result on_part(void *cls, enum MHD_ValueKind kind, const char *key,
                               const char *filename, const char *content_type,
                               const char *transfer_encoding, const char *data, uint64_t at,
                               size_t size)
{
    (void)kind;
    (void)content_type;
    (void)transfer_encoding;
    struct upload *upload = cls;
    if (key && strcmp(key, "file") == 0)
        take_file(upload, filename, data, at, size);
    else if (key && strcmp(key, "purpose") == 0)
        str_append(&upload->purpose, data, size);
    else if (key)
        take_field(upload, key, data, at, size);
    return upload->failed ? MHD_NO : MHD_YES;
}

bool upload_open(struct MHD_Connection *connection, size_t max, struct upload **ret,
                 struct err *err)
{
    const char *type = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Content-Type");
    const char *wanted = "multipart/form-data";
    if (!type || strncasecmp(type, wanted, strlen(wanted)) != 0)
        return err_set(err, ERR_INVALID_REQUEST,
                       "the body must be multipart/form-data with the field \"file\"");
    struct upload *upload = calloc(1, sizeof(*upload));
    if (!upload)
        return err_no_memory(err);
    str_init(&upload->content, max);
    str_init(&upload->purpose, UPLOAD_PURPOSE_MAX);
    upload->processor = MHD_create_post_processor(connection, PROCESSOR_BUFFER, on_part, upload);
    if (!upload->processor) {
        upload_close(upload);
        return err_set(err, ERR_INVALID_REQUEST,
                       "the Content-Type of the body names no multipart boundary");
    }
    *ret = upload;
    return true;
}

void upload_close(struct upload *upload)
{
    if (!upload)
        return;
    if (upload->processor)
        MHD_destroy_post_processor(upload->processor);
    str_free(&upload->content);
    str_free(&upload->purpose);
    for (size_t i = 0; i < upload->field_count; i++)
        str_free(&upload->fields[i].value);
    free(upload);
}

static void fail_malformed(struct upload *upload)
{
    struct err problem;
    err_set(&problem, ERR_INVALID_REQUEST, "the multipart body is malformed or cut off");
    fail(upload, &problem);
}

void upload_feed(struct upload *upload, const char *bytes, size_t length)
{
    struct err problem;
    if (upload->failed)
        return;
    if (MHD_post_process(upload->processor, bytes, length) != MHD_YES)
        fail_malformed(upload);
    if (!str_check(&upload->content, "file", &problem) ||
        !str_check(&upload->purpose, "purpose", &problem))
        fail(upload, &problem);
}

const char *upload_field(const struct upload *upload, const char *name, size_t index)
{
    for (size_t i = 0; i < upload->field_count; i++)
        if (strcmp(upload->fields[i].name, name) == 0 && index-- == 0)
            return str_text(&upload->fields[i].value);
    return NULL;
}

bool upload_finish(struct upload *upload, struct upload_file *ret, struct err *err)
{
    if (MHD_destroy_post_processor(upload->processor) != MHD_YES)
        fail_malformed(upload);
    upload->processor = NULL;
    if (!upload->failed && !upload->has_file)
        return err_set_param(err, ERR_INVALID_REQUEST, "file",
                             "the request has no field \"file\" with a file in it");
    if (upload->failed) {
        *err = upload->problem;
        return false;
    }
    const char *purpose = str_text(&upload->purpose);
    *ret = (struct upload_file){.name = upload->name,
                                .purpose = *purpose ? purpose : "assistants",
                                .bytes = str_text(&upload->content),
                                .length = upload->content.length};
    return true;
}
