// Written by toolchain: a change of number format, and nothing else, in a place of its own.
//
// hls4ml merges a change of format into the layer before it, which is wrong where that layer already has one, or where
// another layer reads the same values without it. The streaming form also changes the size of the packs: behind a
// flattening, a stream still has those from before it.
#ifndef NNET_CAST_H_
#define NNET_CAST_H_

#include "hls_stream.h"
#include "nnet_common.h"

namespace nnet {

template <class data_T, class res_T, int N> void cast_format(data_T data[N], res_T res[N]) {
    #pragma HLS PIPELINE
    for (int i = 0; i < N; i++) {
        #pragma HLS UNROLL
        res[i] = data[i];
    }
}

template <class data_T, class res_T, int N> void cast_format(hls::stream<data_T> &data, hls::stream<res_T> &res) {
    static_assert(N % data_T::size == 0 && N % res_T::size == 0, "packs that do not fill the tensor");
    static_assert(data_T::size % res_T::size == 0 || res_T::size % data_T::size == 0, "packs that do not nest");
    if (data_T::size >= res_T::size) {
        for (int i = 0; i < N / data_T::size; i++) {
            data_T taken = data.read();
            for (int part = 0; part < data_T::size / res_T::size; part++) {
                #pragma HLS PIPELINE
                res_T given;
                PRAGMA_DATA_PACK(given)
                for (int j = 0; j < res_T::size; j++) {
                    #pragma HLS UNROLL
                    given[j] = taken[part * res_T::size + j];
                }
                res.write(given);
            }
        }
    } else {
        for (int i = 0; i < N / res_T::size; i++) {
            res_T given;
            PRAGMA_DATA_PACK(given)
            for (int part = 0; part < res_T::size / data_T::size; part++) {
                #pragma HLS PIPELINE
                data_T taken = data.read();
                for (int j = 0; j < data_T::size; j++) {
                    #pragma HLS UNROLL
                    given[part * data_T::size + j] = taken[j];
                }
            }
            res.write(given);
        }
    }
}

} // namespace nnet

#endif
