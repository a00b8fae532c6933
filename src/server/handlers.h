/* handlers.h - the functions that answer, one a row of the route table (routes.c).
 *
 * All are route_handler (route.h): they run on the connection's thread, take what they need from the request, write
 * the answer into request->answer.body (or send a stream), and return false with *err when there is none.
 */
#ifndef JARVIS_SERVER_HANDLERS_H
#define JARVIS_SERVER_HANDLERS_H

#include "server/http.h"
#include "server/writer.h"

/* handle_health.c */
bool handle_health(struct http_request *request, struct err *err);
bool handle_ready(struct http_request *request, struct err *err);

/* handle_models.c */
bool handle_models_list(struct http_request *request, struct err *err);
bool handle_models_get(struct http_request *request, struct err *err);
bool handle_models_add(struct http_request *request, struct err *err);
bool handle_models_remove(struct http_request *request, struct err *err);

/* handle_fit.c */
bool handle_models_fit(struct http_request *request, struct err *err);

/* All models of the registry as elements of an open array: OpenAI's fields and a "jarvis" object. */
bool handle_models_write(struct http_request *request, struct writer *writer, struct err *err);

/* handle_model_actions.c */
bool handle_models_load(struct http_request *request, struct err *err);
bool handle_models_unload(struct http_request *request, struct err *err);
bool handle_models_pin(struct http_request *request, struct err *err);
bool handle_models_unpin(struct http_request *request, struct err *err);
bool handle_models_explain(struct http_request *request, struct err *err);

/* handle_events.c */
bool handle_events(struct http_request *request, struct err *err);

/* handle_chat.c */
bool handle_chat(struct http_request *request, struct err *err);
bool handle_completion(struct http_request *request, struct err *err);

/* handle_embed.c */
bool handle_embeddings(struct http_request *request, struct err *err);
bool handle_rerank(struct http_request *request, struct err *err);

/* handle_audio.c */
bool handle_audio_transcribe(struct http_request *request, struct err *err);
bool handle_audio_translate(struct http_request *request, struct err *err);
bool handle_jarvis_transcribe(struct http_request *request, struct err *err);

/* handle_files.c */
bool handle_files_upload(struct http_request *request, struct err *err);
bool handle_files_list(struct http_request *request, struct err *err);
bool handle_files_get(struct http_request *request, struct err *err);
bool handle_files_content(struct http_request *request, struct err *err);
bool handle_files_delete(struct http_request *request, struct err *err);

/* handle_stores.c */
bool handle_stores_create(struct http_request *request, struct err *err);
bool handle_stores_list(struct http_request *request, struct err *err);
bool handle_stores_get(struct http_request *request, struct err *err);
bool handle_stores_update(struct http_request *request, struct err *err);
bool handle_stores_delete(struct http_request *request, struct err *err);
bool handle_stores_search(struct http_request *request, struct err *err);

/* handle_store_files.c */
bool handle_store_files_attach(struct http_request *request, struct err *err);
bool handle_store_files_list(struct http_request *request, struct err *err);
bool handle_store_files_get(struct http_request *request, struct err *err);
bool handle_store_files_content(struct http_request *request, struct err *err);
bool handle_store_files_detach(struct http_request *request, struct err *err);
bool handle_store_batches_create(struct http_request *request, struct err *err);
bool handle_store_batches_get(struct http_request *request, struct err *err);

/* handle_jarvis.c */
/* handle_tuning.c */
bool handle_ranking_get(struct http_request *request, struct err *err);
bool handle_ranking_set(struct http_request *request, struct err *err);
bool handle_ranking_clear(struct http_request *request, struct err *err);
bool handle_sample(struct http_request *request, struct err *err);

bool handle_jarvis_search(struct http_request *request, struct err *err);
bool handle_jarvis_status(struct http_request *request, struct err *err);
bool handle_jarvis_config(struct http_request *request, struct err *err);
bool handle_jarvis_probe(struct http_request *request, struct err *err);
bool handle_jarvis_shutdown(struct http_request *request, struct err *err);

/* handle_ingest.c */
bool handle_ingest(struct http_request *request, struct err *err);

/* handle_devices.c */
bool handle_devices(struct http_request *request, struct err *err);

/* handle_pull.c */
bool handle_models_pull(struct http_request *request, struct err *err);
bool handle_jarvis_catalogue(struct http_request *request, struct err *err);

#endif
