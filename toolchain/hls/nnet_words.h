// Written by toolchain: numbers of the C-simulation as raw words. Synthesis does not read this file.
//
// ap_fixed's own conversions from and to double take g++ a third of a second for each type, and are slow to run. With
// QUICK_WORDS a weight is stored, and a traced value is read, as the word that it is. That is for a project as it was
// written: there each number is a word of its type, in which case every rounding gives the same; a number that is not
// ends the program. Without QUICK_WORDS, after any change to the project, ap_fixed converts.
#ifndef NNET_WORDS_H_
#define NNET_WORDS_H_

#include "ap_fixed.h"
#include "hls_stream.h"
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <type_traits>

namespace nnet {

template <class T> const T &value_of(const T &x) { return x; }

template <class T> void set_value(T &x, double value) { x = value; }

// A double holds 53 bits: wider layers are refused when the project is written. The value is on the type's grid, whose
// fineness is a power of two: their product is exact.
inline long long word_on_grid(double value, double fineness) {
    const double scaled = value * fineness;
    const long long word = (long long)scaled;
    if ((double)word != scaled) {
        std::fprintf(stderr, "a value is not on its type's grid\n");
        std::exit(2);
    }
    return word;
}

#ifndef QUICK_WORDS

template <class T> void put_word(T &x, long long word) { x.range(T::width - 1, 0) = word; }

template <class T> long long word_of(const T &x) { return word_on_grid((double)x, std::ldexp(1.0, T::width - T::iwidth)); }

#else

template <class T> void set_word(T &x, double word) {
    x.V = (long long)word;
    if ((double)x.V.to_int64() != word) {
        std::fprintf(stderr, "a number of the project is no word of its type\n");
        std::exit(2);
    }
}

template <int W, int I, ap_q_mode Q, ap_o_mode O, int N>
typename std::enable_if<(W < 54), double>::type value_of(const ap_fixed<W, I, Q, O, N> &x) {
    return (double)x.V.to_int64() * std::ldexp(1.0, I - W);
}

template <int W, int I, ap_q_mode Q, ap_o_mode O, int N>
typename std::enable_if<(W < 54), double>::type value_of(const ap_ufixed<W, I, Q, O, N> &x) {
    return (double)x.V.to_int64() * std::ldexp(1.0, I - W);
}

// Modes in which not every word of the type's width can be had take the other way.
template <int W, int I, ap_q_mode Q, ap_o_mode O, int N>
typename std::enable_if<(W < 54 && O != AP_SAT_SYM && O != AP_WRAP_SM)>::type set_value(ap_fixed<W, I, Q, O, N> &x, double value) {
    set_word(x, value * std::ldexp(1.0, W - I));
}

template <int W, int I, ap_q_mode Q, ap_o_mode O, int N>
typename std::enable_if<(W < 54 && O != AP_SAT_SYM && O != AP_WRAP_SM)>::type set_value(ap_ufixed<W, I, Q, O, N> &x, double value) {
    set_word(x, value * std::ldexp(1.0, W - I));
}

template <class T> void put_word(T &x, long long word) {
    x.V = word;
    if (x.V.to_int64() != word) {
        std::fprintf(stderr, "an input is no word of its port's type\n");
        std::exit(2);
    }
}

template <class T> typename std::enable_if<(T::width < 54), long long>::type word_of(const T &x) { return x.V.to_int64(); }

template <class T> typename std::enable_if<(T::width >= 54), long long>::type word_of(const T &x) {
    return word_on_grid((double)x, std::ldexp(1.0, T::width - T::iwidth));
}

// The test bench's place for the words of a layer; NULL when nobody asks for them.
long long *trace_words(const char *layer_name);

// In place of those of nnet_helpers.h.
template <class T> void save_layer_output(T *data, const char *layer_name, size_t layer_size) {
    if (long long *words = trace_words(layer_name))
        for (size_t i = 0; i < layer_size; i++)
            words[i] = word_of(data[i]);
}

template <class T> void save_layer_output(hls::stream<T> &data, const char *layer_name, size_t layer_size) {
    long long *words = trace_words(layer_name);
    for (size_t i = 0; words && i < layer_size / T::size; i++) {
        T pack = data.read();
        for (size_t j = 0; j < T::size; j++)
            *words++ = word_of(pack[j]);
        data.write(pack);
    }
}

#endif

} // namespace nnet

#endif
