// Kernels for channels-last float32 tensors on the CPU: what a search step spends most of its time on.
// Plain C interface, no torch headers: built in seconds, called through ctypes. Rows are positions, channels contiguous.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>
#ifdef _OPENMP
#include <omp.h>
#endif

namespace {

constexpr int kBlock = 256;  // rows whose float sums are added to double totals

int threads_for(int wanted, int64_t pieces) {
    return static_cast<int>(std::max<int64_t>(1, std::min<int64_t>(wanted, pieces)));
}

// Few channels fill no vector register: rows of c channels are read as rows of c * m, so that loops are long.
int widened(int64_t elements, int c) {
    int m = std::max(1, 64 / c);
    while (m > 1 && elements % (static_cast<int64_t>(c) * m) != 0) --m;
    return m;
}

// An image with a border of zeros, so that no loop over its positions has to look for edges.
const float* bordered(const float* x, std::vector<float>& room, int h, int w, int c, int border) {
    if (border == 0) return x;
    const int64_t line = static_cast<int64_t>(w + 2 * border) * c;
    room.resize(static_cast<size_t>(line) * (h + 2 * border));
    float* to = room.data();
    std::memset(to, 0, sizeof(float) * line * border);
    to += line * border;
    for (int i = 0; i < h; ++i, to += line) {
        std::memset(to, 0, sizeof(float) * border * c);
        std::memcpy(to + static_cast<int64_t>(border) * c, x + static_cast<int64_t>(i) * w * c, sizeof(float) * w * c);
        std::memset(to + static_cast<int64_t>(border + w) * c, 0, sizeof(float) * border * c);
    }
    std::memset(to, 0, sizeof(float) * line * border);
    return room.data();
}

// A vector of c values m times over.
std::vector<float> tiled(const float* values, int c, int m, float otherwise = 0.0f) {
    std::vector<float> out(static_cast<size_t>(c) * m);
    for (int i = 0; i < m; ++i)
        for (int v = 0; v < c; ++v) out[static_cast<size_t>(i) * c + v] = values ? values[v] : otherwise;
    return out;
}

// Taps (k*k, c) repeated to 16 lanes, for c of 4 or 8: neighbouring positions then share a register.
std::vector<float> packed(const float* taps, int count, int c) {
    if (c != 4 && c != 8) return {};
    std::vector<float> out(static_cast<size_t>(count) * 16);
    for (int i = 0; i < count; ++i)
        for (int v = 0; v < 16; ++v) out[static_cast<size_t>(i) * 16 + v] = taps[static_cast<size_t>(i) * c + v % c];
    return out;
}

// Weight gradient of one image for V channels from channel c: acc[kh][kw][v] += x * g.
template <int K, int V>
void weight_rows(const float* x, const float* g, float* acc, int h, int w, int oh, int ow, int c, int channels, int stride,
                 int pad, int dil) {
    for (int i = 0; i < oh; ++i) {
        for (int a = 0; a < K; ++a) {
            const int y = i * stride - pad + a * dil;
            if (y < 0 || y >= h) continue;
            float sum[K][V];
            for (int b = 0; b < K; ++b)
                for (int v = 0; v < V; ++v) sum[b][v] = 0.0f;
            const float* row = x + static_cast<int64_t>(y) * w * channels + c;
            const float* grad = g + static_cast<int64_t>(i) * ow * channels + c;
            const int reach = (K - 1) * dil;
            const int first = std::min(ow, std::max(0, (pad + stride - 1) / stride));
            const int last = std::max(first, std::min(ow, (w - 1 - reach + pad) / stride + 1));
            auto edge = [&](int j) {
                for (int b = 0; b < K; ++b) {
                    const int z = j * stride - pad + b * dil;
                    if (z < 0 || z >= w) continue;
#pragma omp simd
                    for (int v = 0; v < V; ++v)
                        sum[b][v] += row[static_cast<int64_t>(z) * channels + v] * grad[static_cast<int64_t>(j) * channels + v];
                }
            };
            for (int j = 0; j < first; ++j) edge(j);
            for (int j = first; j < last; ++j) {
                const float* base = row + static_cast<int64_t>(j * stride - pad) * channels;
                const float* here = grad + static_cast<int64_t>(j) * channels;
                for (int b = 0; b < K; ++b) {
                    const float* tap = base + static_cast<int64_t>(b) * dil * channels;
#pragma omp simd
                    for (int v = 0; v < V; ++v) sum[b][v] += tap[v] * here[v];
                }
            }
            for (int j = last; j < ow; ++j) edge(j);
            for (int b = 0; b < K; ++b)
                for (int v = 0; v < V; ++v) acc[(a * K + b) * V + v] += sum[b][v];
        }
    }
}

// The same for all of 4 or 8 channels at stride 1: 16 lanes are neighbouring positions, added up at the end.
template <int K>
void weight_packed(const float* x, const float* g, float* acc, int h, int w, int oh, int ow, int channels, int pad, int dil) {
    const int step = 16 / channels, reach = (K - 1) * dil;
    const int first = std::min(ow, std::max(0, pad)), last = std::max(first, std::min(ow, w - reach + pad));
    for (int i = 0; i < oh; ++i)
        for (int a = 0; a < K; ++a) {
            const int y = i - pad + a * dil;
            if (y < 0 || y >= h) continue;
            const float* row = x + static_cast<int64_t>(y) * w * channels;
            const float* grad = g + static_cast<int64_t>(i) * ow * channels;
            float sum[K][16];
            for (int b = 0; b < K; ++b)
                for (int v = 0; v < 16; ++v) sum[b][v] = 0.0f;
            auto edge = [&](int j) {
                for (int b = 0; b < K; ++b) {
                    const int z = j - pad + b * dil;
                    if (z < 0 || z >= w) continue;
                    for (int v = 0; v < channels; ++v) sum[b][v] += row[z * channels + v] * grad[j * channels + v];
                }
            };
            int j = 0;
            for (; j < first; ++j) edge(j);
            for (; j + step <= last; j += step) {
                const float* here = grad + static_cast<int64_t>(j) * channels;
                for (int b = 0; b < K; ++b) {
                    const float* tap = row + static_cast<int64_t>(j - pad + b * dil) * channels;
#pragma omp simd
                    for (int v = 0; v < 16; ++v) sum[b][v] += tap[v] * here[v];
                }
            }
            for (; j < ow; ++j) edge(j);
            for (int b = 0; b < K; ++b)
                for (int v = 0; v < 16; ++v) acc[(a * K + b) * channels + v % channels] += sum[b][v];
        }
}

template <int K, int V>
void weight_block(const float* x, const float* g, double* out, int first, int last, int h, int w, int oh, int ow, int c,
                  int channels, int stride, int pad, int dil) {
    std::vector<float> acc(K * K * V);
    for (int n = first; n < last; ++n) {
        std::fill(acc.begin(), acc.end(), 0.0f);
        weight_rows<K, V>(x + static_cast<int64_t>(n) * h * w * channels, g + static_cast<int64_t>(n) * oh * ow * channels,
                          acc.data(), h, w, oh, ow, c, channels, stride, pad, dil);
        for (int t = 0; t < K * K; ++t)
            for (int v = 0; v < V; ++v) out[static_cast<int64_t>(t) * channels + c + v] += acc[t * V + v];
    }
}

template <int K>
void weight_images(const float* x, const float* g, double* out, int first, int last, int h, int w, int oh, int ow,
                   int channels, int stride, int pad, int dil) {
    std::vector<float> room, acc(K * K * channels);
    for (int b = first; b < last; ++b) {
        const float* image = bordered(x + static_cast<int64_t>(b) * h * w * channels, room, h, w, channels, pad);
        const float* grad = g + static_cast<int64_t>(b) * oh * ow * channels;
        const int high = h + 2 * pad, wide = w + 2 * pad;
        if (stride == 1 && (channels == 4 || channels == 8)) {
            std::fill(acc.begin(), acc.end(), 0.0f);
            weight_packed<K>(image, grad, acc.data(), high, wide, oh, ow, channels, 0, dil);
            for (size_t v = 0; v < acc.size(); ++v) out[v] += acc[v];
            continue;
        }
        int c = 0;
        for (; c + 16 <= channels; c += 16)
            weight_block<K, 16>(image, grad, out, 0, 1, high, wide, oh, ow, c, channels, stride, 0, dil);
        for (; c + 4 <= channels; c += 4)
            weight_block<K, 4>(image, grad, out, 0, 1, high, wide, oh, ow, c, channels, stride, 0, dil);
        for (; c < channels; ++c) weight_block<K, 1>(image, grad, out, 0, 1, high, wide, oh, ow, c, channels, stride, 0, dil);
    }
}

template <int K>
void weight_gradient(const float* x, const float* g, float* out, int n, int h, int w, int oh, int ow, int channels,
                     int stride, int pad, int dil, int wanted) {
    const int count = threads_for(wanted, n);
    const int64_t size = static_cast<int64_t>(K) * K * channels;
    std::vector<double> sums(size * count, 0.0);
#pragma omp parallel for num_threads(count) schedule(static)
    for (int t = 0; t < count; ++t)
        weight_images<K>(x, g, sums.data() + t * size, n * t / count, n * (t + 1) / count, h, w, oh, ow, channels, stride,
                         pad, dil);
    for (int64_t i = 0; i < K * K; ++i)
        for (int c = 0; c < channels; ++c) {
            double total = 0.0;
            for (int t = 0; t < count; ++t) total += sums[t * size + i * channels + c];
            out[static_cast<int64_t>(c) * K * K + i] = static_cast<float>(total);
        }
}

// One row of outputs of a depthwise convolution: ow positions of V channels from channel c.
template <int K, int V>
void depthwise_row(const float* x, const float* taps, float* out, int i, int h, int w, int ow, int c, int channels,
                   int stride, int pad, int dil) {
    const int reach = (K - 1) * dil;
    const int first = std::min(ow, std::max(0, (pad + stride - 1) / stride));
    const int last = std::max(first, std::min(ow, (w - 1 - reach + pad) / stride + 1));
    auto position = [&](int j, bool inside) {
        float sum[V];
        for (int v = 0; v < V; ++v) sum[v] = 0.0f;
        for (int a = 0; a < K; ++a) {
            const int y = i * stride - pad + a * dil;
            if (y < 0 || y >= h) continue;
            const float* row = x + static_cast<int64_t>(y) * w * channels + c;
            for (int b = 0; b < K; ++b) {
                const int z = j * stride - pad + b * dil;
                if (!inside && (z < 0 || z >= w)) continue;
                const float* from = row + static_cast<int64_t>(z) * channels;
                const float* tap = taps + static_cast<int64_t>(a * K + b) * channels + c;
#pragma omp simd
                for (int v = 0; v < V; ++v) sum[v] += from[v] * tap[v];
            }
        }
        for (int v = 0; v < V; ++v) out[static_cast<int64_t>(j) * channels + c + v] = sum[v];
    };
    // inside: four positions at a time share the loads of the taps
    constexpr int R = 4;
    for (int j = 0; j < first; ++j) position(j, false);
    int j = first;
    for (; j + R <= last; j += R) {
        float sum[R][V];
        for (int r = 0; r < R; ++r)
            for (int v = 0; v < V; ++v) sum[r][v] = 0.0f;
        for (int a = 0; a < K; ++a) {
            const int y = i * stride - pad + a * dil;
            if (y < 0 || y >= h) continue;
            const float* row = x + (static_cast<int64_t>(y) * w + j * stride - pad) * channels + c;
            for (int b = 0; b < K; ++b) {
                const float* from = row + static_cast<int64_t>(b) * dil * channels;
                const float* tap = taps + static_cast<int64_t>(a * K + b) * channels + c;
                for (int r = 0; r < R; ++r) {
                    const float* own = from + static_cast<int64_t>(r) * stride * channels;
#pragma omp simd
                    for (int v = 0; v < V; ++v) sum[r][v] += own[v] * tap[v];
                }
            }
        }
        for (int r = 0; r < R; ++r)
            for (int v = 0; v < V; ++v) out[static_cast<int64_t>(j + r) * channels + c + v] = sum[r][v];
    }
    for (; j < last; ++j) position(j, true);
    for (; j < ow; ++j) position(j, false);
}

// All of 4 or 8 channels at stride 1, several positions in one register; `taps` are packed to 16 lanes.
template <int K>
void depthwise_packed(const float* x, const float* taps, float* out, int i, int h, int w, int channels, int first, int last,
                      int pad, int dil) {
    const int step = 16 / channels;
    int j = first;
    for (; j + 2 * step <= last; j += 2 * step) {
        float low[16], high[16];
        for (int v = 0; v < 16; ++v) low[v] = high[v] = 0.0f;
        for (int a = 0; a < K; ++a) {
            const int y = i - pad + a * dil;
            if (y < 0 || y >= h) continue;
            const float* row = x + (static_cast<int64_t>(y) * w + j - pad) * channels;
            for (int b = 0; b < K; ++b) {
                const float* from = row + static_cast<int64_t>(b) * dil * channels;
                const float* tap = taps + (a * K + b) * 16;
#pragma omp simd
                for (int v = 0; v < 16; ++v) low[v] += from[v] * tap[v];
#pragma omp simd
                for (int v = 0; v < 16; ++v) high[v] += from[16 + v] * tap[v];
            }
        }
        float* to = out + static_cast<int64_t>(j) * channels;
        for (int v = 0; v < 16; ++v) to[v] = low[v];
        for (int v = 0; v < 16; ++v) to[16 + v] = high[v];
    }
}

template <int K>
void depthwise_line(const float* x, const float* taps, const std::vector<float>& pack, float* out, int i, int h, int w, int ow,
                    int channels, int stride, int pad, int dil) {
    if (!pack.empty() && stride == 1) {
        const int reach = (K - 1) * dil, pair = 32 / channels;
        const int first = std::min(ow, std::max(0, pad)), last = std::max(first, std::min(ow, w - reach + pad));
        const int end = first + (last - first) / pair * pair;
        depthwise_packed<K>(x, pack.data(), out, i, h, w, channels, first, end, pad, dil);
        for (int j = 0; j < ow; ++j) {
            if (j >= first && j < end) {
                j = end - 1;
                continue;
            }
            float* to = out + static_cast<int64_t>(j) * channels;
            for (int v = 0; v < channels; ++v) to[v] = 0.0f;
            for (int a = 0; a < K; ++a) {
                const int y = i - pad + a * dil;
                if (y < 0 || y >= h) continue;
                for (int b = 0; b < K; ++b) {
                    const int z = j - pad + b * dil;
                    if (z < 0 || z >= w) continue;
                    const float* from = x + (static_cast<int64_t>(y) * w + z) * channels;
                    const float* tap = taps + static_cast<int64_t>(a * K + b) * channels;
                    for (int v = 0; v < channels; ++v) to[v] += from[v] * tap[v];
                }
            }
        }
        return;
    }
    int c = 0;
    for (; c + 16 <= channels; c += 16) depthwise_row<K, 16>(x, taps, out, i, h, w, ow, c, channels, stride, pad, dil);
    for (; c + 4 <= channels; c += 4) depthwise_row<K, 4>(x, taps, out, i, h, w, ow, c, channels, stride, pad, dil);
    for (; c < channels; ++c) depthwise_row<K, 1>(x, taps, out, i, h, w, ow, c, channels, stride, pad, dil);
}

template <int K>
void depthwise_forward(const float* x, const float* taps, float* out, int n, int h, int w, int oh, int ow, int c, int stride,
                       int pad, int dil, int threads) {
    const std::vector<float> pack = packed(taps, K * K, c);
    const int count = threads_for(threads, n);
#pragma omp parallel for num_threads(count) schedule(static)
    for (int t = 0; t < count; ++t) {
        std::vector<float> room;
        for (int b = n * t / count; b < n * (t + 1) / count; ++b) {
            const float* image = bordered(x + static_cast<int64_t>(b) * h * w * c, room, h, w, c, pad);
            for (int i = 0; i < oh; ++i)
                depthwise_line<K>(image, taps, pack, out + (static_cast<int64_t>(b) * oh + i) * ow * c, i, h + 2 * pad,
                                  w + 2 * pad, ow, c, stride, 0, dil);
        }
    }
}

// out (rows, to) = t (rows, from) * weight (from, to), V columns from column c.
template <int V>
void product_columns(const float* t, const float* weight, float* out, int rows, int from, int to, int c) {
    constexpr int R = 8;
    int r = 0;
    for (; r + R <= rows; r += R) {
        float sum[R][V];
        for (int a = 0; a < R; ++a)
            for (int v = 0; v < V; ++v) sum[a][v] = 0.0f;
        for (int k = 0; k < from; ++k) {
            const float* line = weight + static_cast<int64_t>(k) * to + c;
            for (int a = 0; a < R; ++a) {
                const float factor = t[static_cast<int64_t>(r + a) * from + k];
#pragma omp simd
                for (int v = 0; v < V; ++v) sum[a][v] += factor * line[v];
            }
        }
        for (int a = 0; a < R; ++a)
            for (int v = 0; v < V; ++v) out[static_cast<int64_t>(r + a) * to + c + v] = sum[a][v];
    }
    for (; r < rows; ++r) {
        float sum[V];
        for (int v = 0; v < V; ++v) sum[v] = 0.0f;
        for (int k = 0; k < from; ++k) {
            const float factor = t[static_cast<int64_t>(r) * from + k];
            const float* line = weight + static_cast<int64_t>(k) * to + c;
#pragma omp simd
            for (int v = 0; v < V; ++v) sum[v] += factor * line[v];
        }
        for (int v = 0; v < V; ++v) out[static_cast<int64_t>(r) * to + c + v] = sum[v];
    }
}

void product(const float* t, const float* weight, float* out, int rows, int from, int to) {
    int c = 0;
    for (; c + 16 <= to; c += 16) product_columns<16>(t, weight, out, rows, from, to, c);
    for (; c + 4 <= to; c += 4) product_columns<4>(t, weight, out, rows, from, to, c);
    for (; c < to; ++c) product_columns<1>(t, weight, out, rows, from, to, c);
}

// acc (from, to) += t (rows, from)^T * g (rows, to), V columns from column c.
template <int V>
void outer_columns(const float* t, const float* g, float* acc, int rows, int from, int to, int c) {
    constexpr int R = 8;
    int k = 0;
    for (; k + R <= from; k += R) {
        float sum[R][V];
        for (int a = 0; a < R; ++a)
            for (int v = 0; v < V; ++v) sum[a][v] = 0.0f;
        for (int r = 0; r < rows; ++r) {
            const float* line = g + static_cast<int64_t>(r) * to + c;
            const float* own = t + static_cast<int64_t>(r) * from + k;
            for (int a = 0; a < R; ++a) {
#pragma omp simd
                for (int v = 0; v < V; ++v) sum[a][v] += own[a] * line[v];
            }
        }
        for (int a = 0; a < R; ++a)
            for (int v = 0; v < V; ++v) acc[static_cast<int64_t>(k + a) * to + c + v] += sum[a][v];
    }
    for (; k < from; ++k) {
        float sum[V];
        for (int v = 0; v < V; ++v) sum[v] = 0.0f;
        for (int r = 0; r < rows; ++r) {
            const float factor = t[static_cast<int64_t>(r) * from + k];
            const float* line = g + static_cast<int64_t>(r) * to + c;
#pragma omp simd
            for (int v = 0; v < V; ++v) sum[v] += factor * line[v];
        }
        for (int v = 0; v < V; ++v) acc[static_cast<int64_t>(k) * to + c + v] += sum[v];
    }
}

void outer(const float* t, const float* g, float* acc, int rows, int from, int to) {
    int c = 0;
    for (; c + 16 <= to; c += 16) outer_columns<16>(t, g, acc, rows, from, to, c);
    for (; c + 4 <= to; c += 4) outer_columns<4>(t, g, acc, rows, from, to, c);
    for (; c < to; ++c) outer_columns<1>(t, g, acc, rows, from, to, c);
}

// Sums of u and u^2 of a few rows, as differences to the first one, added to double totals (2 * c).
void add_moments(const float* u, int rows, int c, float* part, double* total) {
    std::fill(part, part + 2 * c, 0.0f);
    float* s = part;
    float* q = part + c;
    for (int r = 0; r < rows; ++r) {
        const float* row = u + static_cast<int64_t>(r) * c;
#pragma omp simd
        for (int v = 0; v < c; ++v) {
            const float d = row[v] - u[v];
            s[v] += d;
            q[v] += d * d;
        }
    }
    for (int v = 0; v < c; ++v) {
        const double o = u[v], d = s[v];
        total[v] += d + rows * o;
        total[c + v] += q[v] + 2.0 * o * d + rows * o * o;
    }
}

void scatter_line(const float* grad, const float* taps, float* image, int i, int h, int w, int ow, int c, int k, int stride,
                  int pad, int dil) {
    for (int p = 0; p < k; ++p) {
        const int y = i * stride - pad + p * dil;
        if (y < 0 || y >= h) continue;
        for (int j = 0; j < ow; ++j) {
            const float* own = grad + static_cast<int64_t>(j) * c;
            for (int q = 0; q < k; ++q) {
                const int z = j * stride - pad + q * dil;
                if (z < 0 || z >= w) continue;
                float* to = image + (static_cast<int64_t>(y) * w + z) * c;
                const float* tap = taps + static_cast<int64_t>(p * k + q) * c;
#pragma omp simd
                for (int v = 0; v < c; ++v) to[v] += tap[v] * own[v];
            }
        }
    }
}

// y = (u - mean) * factor + offset, and ReLU.
void apply_norm(const float* u, float* y, const float* mean, const float* factor, const float* offset, int64_t rows, int c,
                int relu, int count) {
    const int m = widened(rows * c, c), wide = c * m;
    const int64_t lines = rows / m;
    const std::vector<float> a = tiled(mean, c, m), f = tiled(factor, c, m), o = tiled(offset, c, m);
#pragma omp parallel for num_threads(count) schedule(static)
    for (int t = 0; t < count; ++t)
        for (int64_t r = lines * t / count; r < lines * (t + 1) / count; ++r) {
            const float* from = u + r * wide;
            float* to = y + r * wide;
            if (relu) {
#pragma omp simd
                for (int v = 0; v < wide; ++v) to[v] = std::max(0.0f, (from[v] - a[v]) * f[v] + o[v]);
            } else {
#pragma omp simd
                for (int v = 0; v < wide; ++v) to[v] = (from[v] - a[v]) * f[v] + o[v];
            }
        }
}

// Sums of the gradient and of gradient * (u - mean) over some rows, added to double totals (2 * c).
void add_products(const float* u, const float* g, int64_t rows, int c, const float* mean, const float* factor,
                  const float* offset, int relu, float* part, double* total) {
    std::fill(part, part + 2 * c, 0.0f);
    float* s = part;
    float* q = part + c;
    for (int64_t r = 0; r < rows; ++r) {
        const float* row = u + r * c;
        const float* grad = g + r * c;
        if (relu) {
#pragma omp simd
            for (int v = 0; v < c; ++v) {
                const float d = row[v] - mean[v];
                const float e = d * factor[v] + offset[v] > 0.0f ? grad[v] : 0.0f;
                s[v] += e;
                q[v] += e * d;
            }
        } else {
#pragma omp simd
            for (int v = 0; v < c; ++v) {
                s[v] += grad[v];
                q[v] += grad[v] * (row[v] - mean[v]);
            }
        }
    }
    for (int v = 0; v < 2 * c; ++v) total[v] += part[v];
}

struct NormSums {
    std::vector<float> mean, factor, offset, average, slope;  // tiled m times
    int m;
};

// The sums that a norm's backward pass needs; also fills the gradients of scale and shift. `unit`: rows that stay together.
NormSums norm_sums(const float* u, const float* g, const float* scale, const float* shift, const float* mean,
                   const float* inverse, float* gscale, float* gshift, int64_t rows, int64_t unit, int c, int relu, int threads) {
    NormSums out;
    out.m = widened(unit * c, c);
    const int m = out.m, wide = c * m;
    std::vector<float> factor(c), offset(c), average(c), slope(c);
    for (int v = 0; v < c; ++v) {
        factor[v] = scale ? inverse[v] * scale[v] : inverse[v];
        offset[v] = shift ? shift[v] : 0.0f;
    }
    out.mean = tiled(mean, c, m);
    out.factor = tiled(factor.data(), c, m);
    out.offset = tiled(offset.data(), c, m);
    const int64_t lines = rows / m, blocks = (lines + kBlock - 1) / kBlock;
    const int count = threads_for(threads, blocks);
    std::vector<double> total(static_cast<int64_t>(count) * 2 * wide, 0.0);
#pragma omp parallel for num_threads(count) schedule(static)
    for (int t = 0; t < count; ++t) {
        std::vector<float> part(2 * wide);
        for (int64_t b = blocks * t / count; b < blocks * (t + 1) / count; ++b) {
            const int64_t first = b * kBlock, size = std::min<int64_t>(lines, first + kBlock) - first;
            add_products(u + first * wide, g + first * wide, size, wide, out.mean.data(), out.factor.data(), out.offset.data(),
                         relu, part.data(), total.data() + static_cast<int64_t>(t) * 2 * wide);
        }
    }
    for (int v = 0; v < c; ++v) {
        double a = 0.0, q = 0.0;
        for (int t = 0; t < count; ++t)
            for (int i = v; i < wide; i += c) {
                a += total[static_cast<int64_t>(t) * 2 * wide + i];
                q += total[static_cast<int64_t>(t) * 2 * wide + wide + i];
            }
        gshift[v] = static_cast<float>(a);
        gscale[v] = static_cast<float>(q * inverse[v]);
        average[v] = static_cast<float>(a / rows);
        slope[v] = static_cast<float>(q / rows * inverse[v] * inverse[v]);
    }
    out.average = tiled(average.data(), c, m);
    out.slope = tiled(slope.data(), c, m);
    return out;
}

struct Chain {
    int n, h, w, oh, ow, c, o, stride, pad, dil, relu, threads;
};

template <int K>
void chain_forward_k(const float* x, const float* taps, const float* point, const float* scale, const float* shift, float* u,
                     float* y, float* mean, float* inverse, float eps, const Chain& s) {
    const int count = threads_for(s.threads, s.n);
    const int64_t rows = static_cast<int64_t>(s.n) * s.oh * s.ow;
    const int m = widened(static_cast<int64_t>(s.ow) * s.o, s.o), wide = s.o * m;
    const std::vector<float> pack = packed(taps, K * K, s.c);
    std::vector<double> total(static_cast<int64_t>(count) * 2 * wide, 0.0);
#pragma omp parallel for num_threads(count) schedule(static)
    for (int t = 0; t < count; ++t) {
        std::vector<float> line(static_cast<int64_t>(s.ow) * s.c), part(2 * wide);
        double* own = total.data() + static_cast<int64_t>(t) * 2 * wide;
        std::vector<float> room;
        for (int b = s.n * t / count; b < s.n * (t + 1) / count; ++b) {
            const float* image = bordered(x + static_cast<int64_t>(b) * s.h * s.w * s.c, room, s.h, s.w, s.c, s.pad);
            for (int i = 0; i < s.oh; ++i) {
                depthwise_line<K>(image, taps, pack, line.data(), i, s.h + 2 * s.pad, s.w + 2 * s.pad, s.ow, s.c, s.stride, 0,
                                  s.dil);
                float* to = u + (static_cast<int64_t>(b) * s.oh + i) * s.ow * s.o;
                product(line.data(), point, to, s.ow, s.c, s.o);
                add_moments(to, s.ow / m, wide, part.data(), own);
            }
        }
    }
    std::vector<float> factor(s.o), offset(s.o);
    for (int v = 0; v < s.o; ++v) {
        double a = 0.0, q = 0.0;
        for (int t = 0; t < count; ++t)
            for (int i = v; i < wide; i += s.o) {
                a += total[static_cast<int64_t>(t) * 2 * wide + i];
                q += total[static_cast<int64_t>(t) * 2 * wide + wide + i];
            }
        const double middle = a / rows, variance = std::max(0.0, q / rows - middle * middle);
        mean[v] = static_cast<float>(middle);
        inverse[v] = static_cast<float>(1.0 / std::sqrt(variance + eps));
        factor[v] = scale ? inverse[v] * scale[v] : inverse[v];
        offset[v] = shift ? shift[v] : 0.0f;
    }
    apply_norm(u, y, mean, factor.data(), offset.data(), rows, s.o, s.relu, count);
}

// What the normalisation passes back to u, for a few rows.
void norm_rows(const float* u, const float* g, float* to, int64_t rows, int c, const NormSums& sums, int relu) {
    const float *mean = sums.mean.data(), *factor = sums.factor.data(), *offset = sums.offset.data();
    const float *average = sums.average.data(), *slope = sums.slope.data();
    for (int64_t r = 0; r < rows; ++r) {
        const float* row = u + static_cast<int64_t>(r) * c;
        const float* grad = g + static_cast<int64_t>(r) * c;
        float* out = to + static_cast<int64_t>(r) * c;
        if (relu) {
#pragma omp simd
            for (int v = 0; v < c; ++v) {
                const float d = row[v] - mean[v];
                const float e = d * factor[v] + offset[v] > 0.0f ? grad[v] : 0.0f;
                out[v] = (e - average[v] - d * slope[v]) * factor[v];
            }
        } else {
#pragma omp simd
            for (int v = 0; v < c; ++v) out[v] = (grad[v] - average[v] - (row[v] - mean[v]) * slope[v]) * factor[v];
        }
    }
}

template <int K>
void chain_backward_k(const float* x, const float* g, const float* u, const float* taps, const float* point,
                      const float* scale, const float* shift, const float* mean, const float* inverse, float* gx, float* gtaps,
                      float* gpoint, float* gscale, float* gshift, const Chain& s) {
    const int count = threads_for(s.threads, s.n), c = s.o;
    const int64_t rows = static_cast<int64_t>(s.n) * s.oh * s.ow;
    const NormSums sums = norm_sums(u, g, scale, shift, mean, inverse, gscale, gshift, rows, s.ow, c, s.relu, s.threads);
    if (!gx && !gtaps && !gpoint) return;
    const int64_t tap_size = static_cast<int64_t>(K) * K * s.c, point_size = static_cast<int64_t>(s.c) * c;
    std::vector<double> tap_sums(gtaps ? tap_size * count : 0, 0.0), point_sums(gpoint ? point_size * count : 0, 0.0);
    const std::vector<float> pack = packed(taps, K * K, s.c);
    std::vector<float> flipped(tap_size);
    for (int a = 0; a < K * K; ++a)
        for (int v = 0; v < s.c; ++v) flipped[static_cast<int64_t>(K * K - 1 - a) * s.c + v] = taps[static_cast<int64_t>(a) * s.c + v];
    const std::vector<float> flipped_pack = packed(flipped.data(), K * K, s.c);
#pragma omp parallel for num_threads(count) schedule(static)
    for (int t = 0; t < count; ++t) {
        std::vector<float> gu(static_cast<int64_t>(s.ow) * c), line(static_cast<int64_t>(s.ow) * s.c);
        std::vector<float> gt(static_cast<int64_t>(s.oh) * s.ow * s.c), acc(gpoint ? point_size : 0), room;
        for (int b = s.n * t / count; b < s.n * (t + 1) / count; ++b) {
            const float* own = x + static_cast<int64_t>(b) * s.h * s.w * s.c;
            const float* image = gpoint ? bordered(own, room, s.h, s.w, s.c, s.pad) : own;
            std::fill(acc.begin(), acc.end(), 0.0f);
            for (int i = 0; i < s.oh; ++i) {
                const int64_t at = (static_cast<int64_t>(b) * s.oh + i) * s.ow;
                norm_rows(u + at * c, g + at * c, gu.data(), s.ow / sums.m, c * sums.m, sums, s.relu);
                if (gx || gtaps) product(gu.data(), point, gt.data() + static_cast<int64_t>(i) * s.ow * s.c, s.ow, c, s.c);
                if (gpoint) {
                    depthwise_line<K>(image, taps, pack, line.data(), i, s.h + 2 * s.pad, s.w + 2 * s.pad, s.ow, s.c,
                                      s.stride, 0, s.dil);
                    outer(gu.data(), line.data(), acc.data(), s.ow, c, s.c);
                }
            }
            for (size_t v = 0; v < acc.size(); ++v) point_sums[t * point_size + v] += acc[v];
            if (gtaps)
                weight_images<K>(own, gt.data(), tap_sums.data() + t * tap_size, 0, 1, s.h, s.w, s.oh, s.ow, s.c, s.stride,
                                 s.pad, s.dil);
            if (gx) {
                float* out = gx + static_cast<int64_t>(b) * s.h * s.w * s.c;
                if (s.stride == 1) {
                    const int around = s.dil * (K - 1) - s.pad;
                    const float* grad = bordered(gt.data(), room, s.oh, s.ow, s.c, around);
                    for (int i = 0; i < s.h; ++i)
                        depthwise_line<K>(grad, flipped.data(), flipped_pack, out + static_cast<int64_t>(i) * s.w * s.c, i,
                                          s.oh + 2 * around, s.ow + 2 * around, s.w, s.c, 1, 0, s.dil);
                } else {
                    std::memset(out, 0, sizeof(float) * s.h * s.w * s.c);
                    for (int i = 0; i < s.oh; ++i)
                        scatter_line(gt.data() + static_cast<int64_t>(i) * s.ow * s.c, taps, out, i, s.h, s.w, s.ow, s.c, K,
                                     s.stride, s.pad, s.dil);
                }
            }
        }
    }
    for (int64_t i = 0; gtaps && i < K * K; ++i)
        for (int v = 0; v < s.c; ++v) {
            double sum = 0.0;
            for (int t = 0; t < count; ++t) sum += tap_sums[t * tap_size + i * s.c + v];
            gtaps[static_cast<int64_t>(v) * K * K + i] = static_cast<float>(sum);
        }
    for (int64_t i = 0; gpoint && i < point_size; ++i) {
        double sum = 0.0;
        for (int t = 0; t < count; ++t) sum += point_sums[t * point_size + i];
        gpoint[i] = static_cast<float>(sum);
    }
}

}  // namespace

extern "C" {

// x (n, h, w, c), g (n, oh, ow, c) -> out (c, 1, k, k). Returns 0 if the kernel size is not built.
int dw_weight_gradient(const float* x, const float* g, float* out, int n, int h, int w, int oh, int ow, int c, int k,
                       int stride, int pad, int dil, int threads) {
    switch (k) {
        case 3: weight_gradient<3>(x, g, out, n, h, w, oh, ow, c, stride, pad, dil, threads); return 1;
        case 5: weight_gradient<5>(x, g, out, n, h, w, oh, ow, c, stride, pad, dil, threads); return 1;
        case 7: weight_gradient<7>(x, g, out, n, h, w, oh, ow, c, stride, pad, dil, threads); return 1;
        default: return 0;
    }
}

// x (n, h, w, c), taps (k*k, c) -> out (n, oh, ow, c). Returns 0 if the kernel size is not built.
int dw_forward(const float* x, const float* taps, float* out, int n, int h, int w, int oh, int ow, int c, int k, int stride,
               int pad, int dil, int threads) {
    switch (k) {
        case 3: depthwise_forward<3>(x, taps, out, n, h, w, oh, ow, c, stride, pad, dil, threads); return 1;
        case 5: depthwise_forward<5>(x, taps, out, n, h, w, oh, ow, c, stride, pad, dil, threads); return 1;
        case 7: depthwise_forward<7>(x, taps, out, n, h, w, oh, ow, c, stride, pad, dil, threads); return 1;
        default: return 0;
    }
}

// g (n, oh, ow, c), weight (k*k, c) -> gx (n, h, w, c), any stride.
void dw_input_gradient(const float* g, const float* weight, float* gx, int n, int h, int w, int oh, int ow, int c, int k,
                       int stride, int pad, int dil, int threads) {
    const int count = threads_for(threads, n);
#pragma omp parallel for num_threads(count) schedule(static)
    for (int b = 0; b < n; ++b) {
        float* image = gx + static_cast<int64_t>(b) * h * w * c;
        std::memset(image, 0, sizeof(float) * h * w * c);
        for (int i = 0; i < oh; ++i)
            for (int p = 0; p < k; ++p) {
                const int y = i * stride - pad + p * dil;
                if (y < 0 || y >= h) continue;
                for (int j = 0; j < ow; ++j) {
                    const float* grad = g + ((static_cast<int64_t>(b) * oh + i) * ow + j) * c;
                    for (int q = 0; q < k; ++q) {
                        const int z = j * stride - pad + q * dil;
                        if (z < 0 || z >= w) continue;
                        float* to = image + (static_cast<int64_t>(y) * w + z) * c;
                        const float* tap = weight + static_cast<int64_t>(p * k + q) * c;
#pragma omp simd
                        for (int v = 0; v < c; ++v) to[v] += tap[v] * grad[v];
                    }
                }
            }
    }
}

// Batch norm in training mode: x (rows, c) -> y, mean (c), inverse deviation (c); scale and shift may be null.
void bn_forward(const float* x, const float* scale, const float* shift, float* y, float* mean, float* inverse, int64_t rows,
                int c, float eps, int relu, int threads) {
    const int m = widened(rows * c, c), wide = c * m;
    const int64_t lines = rows / m, blocks = (lines + kBlock - 1) / kBlock;
    const int count = threads_for(threads, blocks);
    std::vector<double> total(static_cast<int64_t>(count) * 2 * wide, 0.0);
#pragma omp parallel for num_threads(count) schedule(static)
    for (int t = 0; t < count; ++t) {
        std::vector<float> part(2 * wide);
        for (int64_t b = blocks * t / count; b < blocks * (t + 1) / count; ++b) {
            const int64_t first = b * kBlock;
            add_moments(x + first * wide, static_cast<int>(std::min<int64_t>(lines, first + kBlock) - first), wide, part.data(),
                        total.data() + static_cast<int64_t>(t) * 2 * wide);
        }
    }
    std::vector<float> factor(c), offset(c);
    for (int v = 0; v < c; ++v) {
        double s = 0.0, q = 0.0;
        for (int t = 0; t < count; ++t)
            for (int i = v; i < wide; i += c) {
                s += total[static_cast<int64_t>(t) * 2 * wide + i];
                q += total[static_cast<int64_t>(t) * 2 * wide + wide + i];
            }
        const double middle = s / rows, variance = std::max(0.0, q / rows - middle * middle);
        mean[v] = static_cast<float>(middle);
        inverse[v] = static_cast<float>(1.0 / std::sqrt(variance + eps));
        factor[v] = scale ? inverse[v] * scale[v] : inverse[v];
        offset[v] = shift ? shift[v] : 0.0f;
    }
    apply_norm(x, y, mean, factor.data(), offset.data(), rows, c, relu, count);
}

// Backward of bn_forward: gx (rows, c) unless null, gscale (c) and gshift (c).
void bn_backward(const float* x, const float* g, const float* scale, const float* shift, const float* mean,
                 const float* inverse, float* gx, float* gscale, float* gshift, int64_t rows, int c, int relu, int threads) {
    const NormSums sums = norm_sums(x, g, scale, shift, mean, inverse, gscale, gshift, rows, rows, c, relu, threads);
    if (!gx) return;
    const int64_t lines = rows / sums.m, wide = static_cast<int64_t>(c) * sums.m;
    const int count = threads_for(threads, (lines + kBlock - 1) / kBlock);
#pragma omp parallel for num_threads(count) schedule(static)
    for (int t = 0; t < count; ++t) {
        const int64_t first = lines * t / count, last = lines * (t + 1) / count;
        norm_rows(x + first * wide, g + first * wide, gx + first * wide, last - first, static_cast<int>(wide), sums, relu);
    }
}

// Depthwise convolution, 1x1 convolution, batch norm, optional ReLU: x (n, h, w, c) -> u before the norm, y after it.
// taps (k*k, c), point (c, o). Returns 0 if the kernel size is not built.
int chain_forward(const float* x, const float* taps, const float* point, const float* scale, const float* shift, float* u,
                  float* y, float* mean, float* inverse, float eps, int n, int h, int w, int oh, int ow, int c, int o, int k,
                  int stride, int pad, int dil, int relu, int threads) {
    const Chain s{n, h, w, oh, ow, c, o, stride, pad, dil, relu, threads};
    switch (k) {
        case 3: chain_forward_k<3>(x, taps, point, scale, shift, u, y, mean, inverse, eps, s); return 1;
        case 5: chain_forward_k<5>(x, taps, point, scale, shift, u, y, mean, inverse, eps, s); return 1;
        case 7: chain_forward_k<7>(x, taps, point, scale, shift, u, y, mean, inverse, eps, s); return 1;
        default: return 0;
    }
}

// Its backward: point (o, c); gx, gtaps (c, 1, k, k) and gpoint (o, c, 1, 1) unless null, gscale and gshift (o).
int chain_backward(const float* x, const float* g, const float* u, const float* taps, const float* point, const float* scale,
                   const float* shift, const float* mean, const float* inverse, float* gx, float* gtaps, float* gpoint,
                   float* gscale, float* gshift, int n, int h, int w, int oh, int ow, int c, int o, int k, int stride, int pad,
                   int dil, int relu, int threads) {
    const Chain s{n, h, w, oh, ow, c, o, stride, pad, dil, relu, threads};
    switch (k) {
        case 3: chain_backward_k<3>(x, g, u, taps, point, scale, shift, mean, inverse, gx, gtaps, gpoint, gscale, gshift, s); return 1;
        case 5: chain_backward_k<5>(x, g, u, taps, point, scale, shift, mean, inverse, gx, gtaps, gpoint, gscale, gshift, s); return 1;
        case 7: chain_backward_k<7>(x, g, u, taps, point, scale, shift, mean, inverse, gx, gtaps, gpoint, gscale, gshift, s); return 1;
        default: return 0;
    }
}

// out = sum of weights[i] * terms[i] over `size` elements.
void weighted_sum(const float* const* terms, const float* weights, float* out, int count, int64_t size, int threads) {
    const int64_t blocks = (size + 4095) / 4096;
    const int parts = threads_for(threads, blocks);
#pragma omp parallel for num_threads(parts) schedule(static)
    for (int64_t b = 0; b < blocks; ++b) {
        const int64_t first = b * 4096, last = std::min<int64_t>(size, first + 4096);
        for (int i = 0; i < count; ++i) {
            const float* from = terms[i];
            const float factor = weights[i];
            if (i == 0) {
#pragma omp simd
                for (int64_t v = first; v < last; ++v) out[v] = factor * from[v];
            } else {
#pragma omp simd
                for (int64_t v = first; v < last; ++v) out[v] += factor * from[v];
            }
        }
    }
}

}  // extern "C"
