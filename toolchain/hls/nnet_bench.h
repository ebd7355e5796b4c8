// Written by toolchain: what every test bench does with words; the bench itself says how it is called. Synthesis does
// not read this file.
#ifndef NNET_BENCH_H_
#define NNET_BENCH_H_

#include "ap_fixed.h"
#include "nnet_words.h"
#include <cstddef>

namespace nnet {

// An input port, a traced layer or an output port, and its type as it was compiled.
struct Recorded {
    const char *file;  // its words go into file.txt; NULL for a traced layer that nobody asks for
    const char *trace; // its name in the design
    size_t size;
    char type[96];
    int fractional_bits;
    int columns; // characters of its longest word
};

Recorded describe(const char *file, const char *trace, size_t size, bool sign, int width, int integer_bits, ap_q_mode q, ap_o_mode o, int n);

template <class T> struct Describe;

template <int W, int I, ap_q_mode Q, ap_o_mode O, int N> struct Describe<ap_fixed<W, I, Q, O, N> > {
    static Recorded as(const char *file, const char *trace, size_t size) { return describe(file, trace, size, true, W, I, Q, O, N); }
};

template <int W, int I, ap_q_mode Q, ap_o_mode O, int N> struct Describe<ap_ufixed<W, I, Q, O, N> > {
    static Recorded as(const char *file, const char *trace, size_t size) { return describe(file, trace, size, false, W, I, Q, O, N); }
};

template <class T> Recorded recorded(const char *file, const char *trace, size_t size) { return Describe<T>::as(file, trace, size); }

// One sample: takes the words of all input ports, and puts those of each port into its place of `words`.
typedef void (*RunSample)(const long long *taken, long long *const *words);

// The input ports come first in `layers` and the output ports last. Returns the exit code. `traced_words`: the design
// puts words into `trace_words`, and not values into `trace_outputs`.
int run_bench(int argc, char **argv, const Recorded *layers, size_t count, size_t inputs, size_t outputs, RunSample run_sample, bool traced_words);

#ifdef QUICK_WORDS
static const bool TRACED_WORDS = true;
#else
static const bool TRACED_WORDS = false;
#endif

} // namespace nnet

#ifndef BENCH_COMPILED // else this is linked from a file of its own

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include <vector>

namespace nnet {

bool trace_enabled = true;
std::map<std::string, void *> *trace_outputs = NULL;
size_t trace_type_size = sizeof(double);

typedef std::vector<long long> Words;

// All words of `path`, `width` a line; exit code 2 when a line is anything else.
static bool read_rows(const char *path, size_t width, Words &words) {
    FILE *file = std::fopen(path, "rb");
    if (file == NULL)
        return false;
    std::vector<char> text;
    char block[1 << 16];
    for (size_t got; (got = std::fread(block, 1, sizeof(block), file)) > 0;)
        text.insert(text.end(), block, block + got);
    std::fclose(file);
    text.push_back('\n'); // the last line may have none
    text.push_back('\0');
    size_t line = 0;
    for (char *at = &text[0], *end; *at; at = end + 1) {
        end = std::strchr(at, '\n');
        if (end == NULL || (end[1] == '\0' && end == at))
            break;
        line++;
        size_t found = 0;
        for (;;) {
            while (*at == ' ' || *at == '\r')
                at++;
            char *behind = at;
            errno = 0;
            const long long word = std::strtoll(at, &behind, 10);
            if (at == end || behind == at || errno)
                break;
            words.push_back(word);
            found++;
            at = behind;
        }
        if (found != width || at != end) {
            std::fprintf(stderr, "%s: line %lu does not hold %lu words\n", path, (unsigned long)line, (unsigned long)width);
            std::exit(2);
        }
    }
    return true;
}

static const char *name_of(ap_q_mode mode) {
    switch (mode) {
    case AP_RND: return "AP_RND";
    case AP_RND_ZERO: return "AP_RND_ZERO";
    case AP_RND_MIN_INF: return "AP_RND_MIN_INF";
    case AP_RND_INF: return "AP_RND_INF";
    case AP_RND_CONV: return "AP_RND_CONV";
    case AP_TRN: return "AP_TRN";
    case AP_TRN_ZERO: return "AP_TRN_ZERO";
    }
    return "unknown";
}

static const char *name_of(ap_o_mode mode) {
    switch (mode) {
    case AP_SAT: return "AP_SAT";
    case AP_SAT_ZERO: return "AP_SAT_ZERO";
    case AP_SAT_SYM: return "AP_SAT_SYM";
    case AP_WRAP: return "AP_WRAP";
    case AP_WRAP_SM: return "AP_WRAP_SM";
    }
    return "unknown";
}

Recorded describe(const char *file, const char *trace, size_t size, bool sign, int width, int integer_bits, ap_q_mode q, ap_o_mode o, int n) {
    Recorded found = {file, trace, size, "", width - integer_bits, 0};
    const char *kind = sign ? "ap_fixed" : "ap_ufixed";
    std::snprintf(found.type, sizeof(found.type), "%s<%d,%d,%s,%s,%d>", kind, width, integer_bits, name_of(q), name_of(o), n);
    const double largest = std::ldexp(1.0, width - (sign ? 1 : 0)) - (sign ? 0.0 : 1.0);
    char text[512];
    found.columns = std::snprintf(text, sizeof(text), "%.0f", largest) + (sign ? 1 : 0);
    return found;
}

static FILE *open_file(const std::string &path) {
    FILE *file = std::fopen(path.c_str(), "wb");
    if (file == NULL) {
        std::fprintf(stderr, "cannot write %s\n", path.c_str());
        std::exit(2);
    }
    return file;
}

// Each word at the right end of as many characters; one space between two words.
static void write_row(FILE *file, const long long *words, size_t size, int columns, std::vector<char> &line) {
    line.assign(size * (columns + 1), ' ');
    for (size_t i = 0; i < size; i++) {
        char *at = &line[0] + i * (columns + 1) + columns;
        unsigned long long left = words[i] < 0 ? -(unsigned long long)words[i] : words[i];
        do
            *--at = '0' + left % 10;
        while (left /= 10);
        if (words[i] < 0)
            *--at = '-';
    }
    line.back() = '\n';
    std::fwrite(&line[0], 1, line.size(), file);
}

static bool close_file(FILE *file) {
    const bool whole = !std::ferror(file);
    return std::fclose(file) == 0 && whole;
}

// The traced layers, and where their words go.
static const Recorded *traces = NULL;
static size_t traces_count = 0, traces_next = 0;
static long long *const *traces_words = NULL;

long long *trace_words(const char *layer_name) {
    for (size_t looked = 0; looked < traces_count; looked++) {
        const size_t here = traces_next++;
        traces_next %= traces_count;
        if (std::strcmp(traces[here].trace, layer_name) == 0) // the next one at once: they come in this order
            return traces[here].file ? traces_words[here] : NULL;
    }
    return NULL;
}

int run_bench(int argc, char **argv, const Recorded *layers, size_t count, size_t inputs, size_t outputs, RunSample run_sample, bool traced_words) {
    const std::string input = argc > 1 ? argv[1] : "tb_data/input_words.txt";
    const std::string folder = argc > 2 ? argv[2] : "tb_data";
    const size_t results = count - outputs; // the first output port
    size_t taken = 0, given = 0;
    for (size_t i = 0; i < inputs; i++)
        taken += layers[i].size;
    for (size_t i = results; i < count; i++)
        given += layers[i].size;
    Words samples, expected;
    if (!read_rows(input.c_str(), taken, samples)) {
        std::fprintf(stderr, "cannot read %s\n", input.c_str());
        return 2;
    }
    const bool compare = argc <= 1;
    if (compare && !read_rows("tb_data/expected_words.txt", given, expected)) {
        std::fprintf(stderr, "cannot read tb_data/expected_words.txt\n");
        return 2;
    }
    const size_t sample_count = samples.size() / taken, expected_count = expected.size() / given;
    if (sample_count == 0 || (compare && expected_count != sample_count)) {
        std::fprintf(stderr, "%lu input samples, %lu expected ones\n", (unsigned long)sample_count, (unsigned long)expected_count);
        return 2;
    }

    std::vector<Words> rows(count);
    std::vector<std::vector<double> > values(count); // of traced layers that are no words yet
    std::map<std::string, void *> buffers;
    std::vector<long long *> places;
    for (size_t i = 0; i < count; i++) {
        rows[i].resize(layers[i].size);
        places.push_back(&rows[i][0]);
        if (!traced_words && i >= inputs && i < results) {
            values[i].resize(layers[i].size);
            buffers[layers[i].trace] = &values[i][0];
        }
    }
    trace_outputs = &buffers;
    traces = layers + inputs;
    traces_count = results - inputs;
    traces_next = 0;
    traces_words = &places[0] + inputs;

#ifdef RTL_SIM
    const char *const results_log = "tb_data/rtl_cosim_results.log";
    const size_t first = results; // traces exist in C only
#else
    const char *const results_log = "tb_data/csim_results.log";
    const size_t first = 0;
#endif
    FILE *log = argc > 1 ? NULL : open_file(results_log);
    std::vector<FILE *> files(count, (FILE *)NULL);
    for (size_t i = first; i < count; i++)
        if (layers[i].file)
            files[i] = open_file(folder + "/" + layers[i].file + ".txt");
    std::vector<char> line;
    Words found(given); // the words of all output ports
    int columns = 1;
    for (size_t i = results; i < count; i++)
        columns = std::max(columns, layers[i].columns);

    size_t differing = 0;
    for (size_t s = 0; s < sample_count; s++) {
        run_sample(&samples[s * taken], &places[0]);
        for (size_t i = first; i < count; i++) {
            const double fineness = std::ldexp(1.0, layers[i].fractional_bits);
            for (size_t j = 0; layers[i].file && j < values[i].size(); j++)
                rows[i][j] = word_on_grid(values[i][j], fineness);
            if (files[i])
                write_row(files[i], places[i], layers[i].size, layers[i].columns, line);
        }
        size_t at = 0;
        for (size_t i = results; i < count; i++)
            for (size_t j = 0; j < layers[i].size; j++)
                found[at++] = rows[i][j];
        if (log)
            write_row(log, &found[0], given, columns, line);
        for (size_t j = 0; compare && j < given; j++)
            differing += found[j] != expected[s * given + j];
    }

    FILE *formats = open_file(folder + "/formats.txt");
    for (size_t i = 0; i < count; i++)
        if (layers[i].file)
            std::fprintf(formats, "%s %s\n", layers[i].file, layers[i].type);
    bool whole = close_file(formats) && (log == NULL || close_file(log));
    for (size_t i = first; i < count; i++)
        whole = (files[i] == NULL || close_file(files[i])) && whole;
    if (!whole)
        return 2;
    FILE *complete = open_file(folder + "/complete.txt");
    std::fprintf(complete, "%lu\n", (unsigned long)sample_count);
    if (!close_file(complete))
        return 2;
    if (compare)
        std::printf("%s: %lu of %lu result words differ from the network's\n", differing ? "FAIL" : "PASS", (unsigned long)differing,
                    (unsigned long)(sample_count * given));
    return differing ? 1 : 0;
}

} // namespace nnet

#endif // BENCH_COMPILED

#endif
