#include "server/audio.h"
#include "voice/subtitle.h"

static double seconds(int64_t ms)
{
    return (double)ms / 1000;
}

const char *audio_content_type(enum audio_format format)
{
    switch (format) {
    case AUDIO_TEXT:
    case AUDIO_SRT: return "text/plain; charset=utf-8";
    case AUDIO_VTT: return "text/vtt; charset=utf-8";
    case AUDIO_JSON:
    case AUDIO_VERBOSE_JSON:
    case AUDIO_FORMATS: break;
    }
    return "application/json";
}

bool audio_is_gradual(const struct audio_asked *asked)
{
    return asked->format != AUDIO_JSON && asked->format != AUDIO_VERBOSE_JSON;
}

void audio_write_begin(struct str *out, const struct audio_asked *asked)
{
    if (asked->format == AUDIO_VTT)
        str_puts(out, SUBTITLE_VTT_HEAD);
}

void audio_write_segment(struct str *out, const struct audio_asked *asked, size_t number,
                         const struct transcribed_segment *segment)
{
    const char *text = segment->text ? segment->text : "";
    if (asked->format == AUDIO_SRT)
        subtitle_srt(out, (unsigned)number, segment->start_ms, segment->end_ms, text);
    else if (asked->format == AUDIO_VTT)
        subtitle_vtt(out, segment->start_ms, segment->end_ms, text);
    else if (asked->transcribe.speech_only)
        str_printf(out, "%.2f %.2f\n", seconds(segment->start_ms), seconds(segment->end_ms));
    else
        str_printf(out, "%s\n", text);
}

void audio_write_text(struct str *out, const struct audio_heard *heard)
{
    for (size_t i = 0; i < heard->count; i++)
        str_printf(out, "%s%s", i > 0 ? " " : "", heard->segments[i].text);
}

void audio_write_usage(struct writer *writer, const struct transcribe_summary *summary)
{
    writer_object(writer, "usage");
    writer_text(writer, "type", "duration");
    writer_int(writer, "seconds", (summary->duration_ms + 999) / 1000);
    writer_end(writer);
}

/* ---------------------------------------------------------------- verbose_json */

static void write_word(struct writer *writer, const struct transcribed_word *word)
{
    writer_object(writer, NULL);
    writer_text(writer, "word", word->text);
    writer_number(writer, "start", seconds(word->start_ms));
    writer_number(writer, "end", seconds(word->end_ms));
    writer_float(writer, "probability", word->probability);
    writer_end(writer);
}

static void write_words(struct writer *writer, const struct audio_heard *heard)
{
    writer_array(writer, "words");
    for (size_t i = 0; i < heard->count; i++)
        for (uint32_t j = 0; j < heard->segments[i].word_count; j++)
            write_word(writer, &heard->segments[i].words[j]);
    writer_end(writer);
}

/* The fields that OpenAI's clients look for are all there; what nobody here measures is neutral. */
static void write_segment(struct writer *writer, size_t id,
                          const struct transcribed_segment *segment, float temperature)
{
    writer_object(writer, NULL);
    writer_uint(writer, "id", id);
    writer_int(writer, "seek", segment->start_ms / 10);
    writer_number(writer, "start", seconds(segment->start_ms));
    writer_number(writer, "end", seconds(segment->end_ms));
    writer_text(writer, "text", segment->text);
    writer_array(writer, "tokens");
    writer_end(writer);
    writer_float(writer, "temperature", temperature);
    writer_float(writer, "avg_logprob", segment->mean_logprob);
    writer_float(writer, "compression_ratio", 1);
    writer_float(writer, "no_speech_prob", segment->no_speech);
    writer_text(writer, "language", segment->language);
    writer_end(writer);
}

static void write_segments(struct writer *writer, const struct audio_asked *asked,
                           const struct audio_heard *heard)
{
    writer_array(writer, "segments");
    for (size_t i = 0; i < heard->count; i++)
        write_segment(writer, i, &heard->segments[i], asked->transcribe.temperature);
    writer_end(writer);
}

static void write_speech(struct writer *writer, const struct audio_heard *heard)
{
    writer_array(writer, "segments");
    for (size_t i = 0; i < heard->count; i++) {
        writer_object(writer, NULL);
        writer_number(writer, "start", seconds(heard->segments[i].start_ms));
        writer_number(writer, "end", seconds(heard->segments[i].end_ms));
        writer_end(writer);
    }
    writer_end(writer);
}

/* Our own extension: what the silence saved. */
static void write_jarvis(struct writer *writer, const struct transcribe_summary *summary)
{
    writer_object(writer, "jarvis");
    writer_text(writer, "model", summary->model);
    writer_number(writer, "speech_seconds", seconds(summary->speech_ms));
    writer_number(writer, "given_seconds", seconds(summary->given_ms));
    writer_uint(writer, "pieces", summary->pieces);
    writer_ms(writer, "compute_ms", summary->compute_ms);
    writer_end(writer);
}

static void write_text_member(struct writer *writer, const struct audio_heard *heard)
{
    struct str text;
    str_init(&text, writer->out->max);
    audio_write_text(&text, heard);
    writer_text_n(writer, "text", str_text(&text), text.length);
    if (!str_ok(&text))
        writer->out->failed = true;
    str_free(&text);
}

void audio_write_whole(struct str *out, const struct audio_asked *asked,
                       const struct audio_heard *heard, const struct transcribe_summary *summary)
{
    struct writer writer;
    bool verbose = asked->format == AUDIO_VERBOSE_JSON;
    writer_begin(&writer, out);
    writer_object(&writer, NULL);
    if (asked->transcribe.speech_only) {
        write_speech(&writer, heard);
        writer_end(&writer);
        return;
    }
    if (verbose) {
        writer_text(&writer, "task", asked->transcribe.translate ? "translate" : "transcribe");
        writer_text(&writer, "language", summary->language);
        writer_number(&writer, "duration", seconds(summary->duration_ms));
    }
    write_text_member(&writer, heard);
    if (verbose && asked->segments)
        write_segments(&writer, asked, heard);
    if (verbose && asked->transcribe.words)
        write_words(&writer, heard);
    audio_write_usage(&writer, summary);
    if (verbose)
        write_jarvis(&writer, summary);
    writer_end(&writer);
}
