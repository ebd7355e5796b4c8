// Written by toolchain: numbers of the C-simulation as raw words. Synthesis does not read this file.
//
// ap_fixed's own conversions from and to double take g++ a third of a second for each type, and are slow to run. With
// QUICK_WORDS a weight is stored, and a traced value is read, as the word that it is. That is for a project as it was
// written: there each number is a word of its type, in which case every rounding gives the same; a number that is not
// ends the program. Without QUICK_WORDS, after any change to the project, ap_fixed converts.
#ifndef NNET_WORDS_H_
#define NNET_WORDS_H_

#include "ap_fixed.h"
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <type_traits>

namespace nnet {

template <class T> const T &value_of(const T &x) { return x; }

template <class T> void set_value(T &x, double value) { x = value; }

#ifdef QUICK_WORDS

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

#endif

} // namespace nnet

#endif
