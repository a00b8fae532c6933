#include "server/routes.h"

#include "server/handlers.h"

const struct route routes_table[] = {
    {"GET", "/healthz", handle_health, ROUTE_OPEN},
    {"GET", "/readyz", handle_ready, ROUTE_OPEN},

    {"GET", "/v1/models", handle_models_list, 0},
    {"POST", "/v1/models", handle_models_add, ROUTE_LOCAL},
    {"POST", "/v1/models/pull", handle_models_pull, ROUTE_LOCAL | ROUTE_LONG},
    {"GET", "/v1/models/{name*}/fit", handle_models_fit, 0},
    {"POST", "/v1/models/{name*}/fit", handle_models_fit, 0},
    {"POST", "/v1/models/{name*}/load", handle_models_load, ROUTE_LONG},
    {"POST", "/v1/models/{name*}/unload", handle_models_unload, 0},
    {"POST", "/v1/models/{name*}/pin", handle_models_pin, ROUTE_LOCAL},
    {"POST", "/v1/models/{name*}/unpin", handle_models_unpin, ROUTE_LOCAL},
    {"GET", "/v1/models/{name*}/explain", handle_models_explain, 0},
    {"GET", "/v1/models/{name*}", handle_models_get, 0},
    {"DELETE", "/v1/models/{name*}", handle_models_remove, ROUTE_LOCAL},

    {"GET", "/v1/events", handle_events, ROUTE_LONG},
    {"GET", "/v1/devices", handle_devices, 0},

    {"POST", "/v1/chat/completions", handle_chat, 0},
    {"POST", "/v1/completions", handle_completion, 0},
    {"POST", "/v1/embeddings", handle_embeddings, 0},
    {"POST", "/v1/rerank", handle_rerank, 0},

    {"POST", "/v1/audio/transcriptions", handle_audio_transcribe, ROUTE_UPLOAD},
    {"POST", "/v1/audio/translations", handle_audio_translate, ROUTE_UPLOAD},

    {"POST", "/v1/files", handle_files_upload, ROUTE_UPLOAD},
    {"GET", "/v1/files", handle_files_list, 0},
    {"GET", "/v1/files/{id}", handle_files_get, 0},
    {"DELETE", "/v1/files/{id}", handle_files_delete, 0},
    {"GET", "/v1/files/{id}/content", handle_files_content, 0},

    {"POST", "/v1/vector_stores", handle_stores_create, 0},
    {"GET", "/v1/vector_stores", handle_stores_list, 0},
    {"GET", "/v1/vector_stores/{id}", handle_stores_get, 0},
    {"POST", "/v1/vector_stores/{id}", handle_stores_update, 0},
    {"DELETE", "/v1/vector_stores/{id}", handle_stores_delete, 0},
    {"POST", "/v1/vector_stores/{id}/search", handle_stores_search, 0},
    {"POST", "/v1/vector_stores/{id}/files", handle_store_files_attach, 0},
    {"GET", "/v1/vector_stores/{id}/files", handle_store_files_list, 0},
    {"GET", "/v1/vector_stores/{id}/files/{file}", handle_store_files_get, 0},
    {"DELETE", "/v1/vector_stores/{id}/files/{file}", handle_store_files_detach, 0},
    {"GET", "/v1/vector_stores/{id}/files/{file}/content", handle_store_files_content, 0},
    {"POST", "/v1/vector_stores/{id}/file_batches", handle_store_batches_create, 0},
    {"GET", "/v1/vector_stores/{id}/file_batches/{batch}", handle_store_batches_get, 0},

    {"POST", "/v1/jarvis/ingest", handle_ingest, ROUTE_LOCAL | ROUTE_LONG},
    {"POST", "/v1/jarvis/transcribe", handle_jarvis_transcribe, ROUTE_LOCAL | ROUTE_LONG},
    {"POST", "/v1/jarvis/search", handle_jarvis_search, 0},
    {"GET", "/v1/jarvis/stores/{id}/ranking", handle_ranking_get, 0},
    {"POST", "/v1/jarvis/stores/{id}/ranking", handle_ranking_set, ROUTE_LOCAL},
    {"DELETE", "/v1/jarvis/stores/{id}/ranking", handle_ranking_clear, ROUTE_LOCAL},
    {"POST", "/v1/jarvis/stores/{id}/sample", handle_sample, 0},
    {"GET", "/v1/jarvis/status", handle_jarvis_status, 0},
    {"GET", "/v1/jarvis/catalogue", handle_jarvis_catalogue, 0},
    {"GET", "/v1/jarvis/config/{key}", handle_jarvis_config, ROUTE_LOCAL},
    {"POST", "/v1/jarvis/probe", handle_jarvis_probe, ROUTE_LOCAL},
    {"POST", "/v1/jarvis/shutdown", handle_jarvis_shutdown, ROUTE_LOCAL},
};

const size_t routes_count = sizeof(routes_table) / sizeof(*routes_table);
