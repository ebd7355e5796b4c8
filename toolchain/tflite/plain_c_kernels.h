/* int8 kernels of the generated model: sums in int32, scaled down by a power of two. Each is used by some models only. */
#ifndef KERNELS_H
#define KERNELS_H
#include <stdint.h>

struct windows {
  int32_t height, width, channels, rows, columns, filters, kernel_height, kernel_width, stride_y, stride_x;
  int32_t dilation_y, dilation_x, before_y, before_x;
};

struct convolution {
  struct windows over;
  int32_t input_zero_point, output_zero_point, relu, depthwise;
  const int8_t *kernel; /* filters, kernel_height, kernel_width, channels (depthwise: one) */
  const int32_t *bias;
  const int8_t *shift;
};

struct pair { /* two inputs, brought to one scale by shifts to the left */
  int32_t first_zero_point, second_zero_point, output_zero_point, first_shift, second_shift, sign, shift, relu, count;
};

/* sum * 2**-shift, ties to even, as QKeras and XNNPACK round. */
static inline int32_t scale_down(int32_t sum, int shift) {
  if (shift <= 0) return (int32_t)((int64_t)sum * ((int64_t)1 << -shift));
  const int64_t half = (int64_t)1 << (shift - 1);
  const int64_t below = (int64_t)sum + half - 1; /* ties downward */
  const int64_t floor = (int64_t)sum >> shift;
  return (int32_t)((below + (floor & 1)) >> shift);
}

/* The same with ties upward, as XNNPACK adds. */
static inline int32_t scale_down_up(int32_t sum, int shift) {
  if (shift <= 0) return (int32_t)((int64_t)sum * ((int64_t)1 << -shift));
  return (int32_t)(((int64_t)sum + ((int64_t)1 << (shift - 1))) >> shift);
}

static inline int8_t saturate(int32_t word) { return (int8_t)(word < -128 ? -128 : word > 127 ? 127 : word); }

static inline int8_t finish(int32_t word, int32_t relu, int32_t zero_point) {
  return saturate((relu && word < 0 ? 0 : word) + zero_point);
}

static inline int32_t sum_of(const struct convolution *c, const int8_t *x, int32_t filter, int32_t row,
                             int32_t column) {
  const struct windows *w = &c->over;
  const int32_t channels = c->depthwise ? 1 : w->channels, first = c->depthwise ? filter : 0;
  const int8_t *kernel = c->kernel + filter * w->kernel_height * w->kernel_width * channels;
  int32_t sum = c->bias[filter];
  for (int32_t ky = 0; ky < w->kernel_height; ++ky) {
    const int32_t y = row * w->stride_y + ky * w->dilation_y - w->before_y;
    if (y < 0 || y >= w->height) continue; /* padding is the zero point: it adds nothing */
    for (int32_t kx = 0; kx < w->kernel_width; ++kx) {
      const int32_t place = column * w->stride_x + kx * w->dilation_x - w->before_x;
      if (place < 0 || place >= w->width) continue;
      const int8_t *pixel = x + (y * w->width + place) * w->channels + first;
      const int8_t *weights = kernel + (ky * w->kernel_width + kx) * channels;
      for (int32_t i = 0; i < channels; ++i) sum += (pixel[i] - c->input_zero_point) * weights[i];
    }
  }
  return sum;
}

static inline void convolve(const struct convolution *c, const int8_t *x, int8_t *result) {
  for (int32_t row = 0; row < c->over.rows; ++row)
    for (int32_t column = 0; column < c->over.columns; ++column)
      for (int32_t filter = 0; filter < c->over.filters; ++filter) {
        const int32_t word = scale_down(sum_of(c, x, filter, row, column), c->shift[filter]);
        *result++ = finish(word, c->relu, c->output_zero_point);
      }
}

static inline int8_t largest_of(const struct windows *w, const int8_t *x, int32_t row, int32_t column, int32_t i) {
  int8_t largest = -128;
  for (int32_t ky = 0; ky < w->kernel_height; ++ky)
    for (int32_t kx = 0; kx < w->kernel_width; ++kx) {
      const int32_t y = row * w->stride_y + ky - w->before_y, place = column * w->stride_x + kx - w->before_x;
      if (y < 0 || y >= w->height || place < 0 || place >= w->width) continue;
      const int8_t word = x[(y * w->width + place) * w->channels + i];
      if (word > largest) largest = word;
    }
  return largest;
}

static inline void max_pool(const struct windows *w, const int8_t *x, int8_t *result) {
  for (int32_t row = 0; row < w->rows; ++row)
    for (int32_t column = 0; column < w->columns; ++column)
      for (int32_t i = 0; i < w->channels; ++i) *result++ = largest_of(w, x, row, column, i);
}

static inline void add(const struct pair *p, const int8_t *x, const int8_t *y, int8_t *result) {
  for (int32_t i = 0; i < p->count; ++i) {
    const int32_t first = (x[i] - p->first_zero_point) * (1 << p->first_shift);
    const int32_t second = (y[i] - p->second_zero_point) * (1 << p->second_shift) * p->sign;
    result[i] = finish(scale_down_up(first + second, p->shift), p->relu, p->output_zero_point);
  }
}

static inline void multiply(const struct pair *p, const int8_t *x, const int8_t *y, int8_t *result) {
  for (int32_t i = 0; i < p->count; ++i) {
    const int32_t product = (x[i] - p->first_zero_point) * (y[i] - p->second_zero_point);
    result[i] = finish(scale_down(product, p->shift), p->relu, p->output_zero_point);
  }
}

static inline void at_least(const int8_t *x, int8_t *result, int32_t bound, int32_t count) {
  for (int32_t i = 0; i < count; ++i) result[i] = x[i] < bound ? (int8_t)bound : x[i];
}

static inline void at_most(const int8_t *x, int8_t *result, int32_t bound, int32_t count) {
  for (int32_t i = 0; i < count; ++i) result[i] = x[i] > bound ? (int8_t)bound : x[i];
}

static inline void larger(const int8_t *x, const int8_t *y, int8_t *result, int32_t count) {
  for (int32_t i = 0; i < count; ++i) result[i] = x[i] > y[i] ? x[i] : y[i];
}

static inline void smaller(const int8_t *x, const int8_t *y, int8_t *result, int32_t count) {
  for (int32_t i = 0; i < count; ++i) result[i] = x[i] < y[i] ? x[i] : y[i];
}

static inline void look_up(const int8_t *table, const int8_t *x, int8_t *result, int32_t first, int32_t width,
                           int32_t count) {
  for (int32_t i = 0; i < count; ++i)
    for (int32_t k = 0; k < width; ++k) *result++ = table[(x[i] - first) * width + k];
}

static inline void copy_rows(const int8_t *x, int8_t *result, int32_t rows, int32_t width, int32_t whole) {
  for (int32_t row = 0; row < rows; ++row)
    for (int32_t i = 0; i < width; ++i) result[row * whole + i] = x[row * width + i];
}

/* places[i] says which word stands at i, counted from 1; 0 stands for zero. */
#define MOVE(places, x, result, zero_point, count) \
  for (int32_t i = 0; i < (count); ++i) (result)[i] = (int8_t)((places)[i] ? (x)[(places)[i] - 1] : (zero_point))
#endif
