"""Triangle rasteriser with a depth buffer, compiled by numba: projected, coloured triangles in, an RGB frame out.

Vertices are snapped to 1/256 of a sample and edges are evaluated in integers under the top-left rule, so that of two
triangles that share an edge exactly one covers each sample (J. Pineda, "A Parallel Algorithm for Polygon
Rasterization", 1988). Depth and colour are interpolated perspective-correctly: 1/depth is linear in the image.
No fast-math and one thread: the same input gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable

import numba
import numpy as np

SUBPIXEL_BITS = 8
NEAREST = 1e-3
"""Least depth of a vertex that is drawn."""
FARTHEST = 2.0**29
"""Largest coordinate of a vertex that is drawn, in subpixels: products of two differences fit 64 bits."""
_ONE = 1 << SUBPIXEL_BITS
_HALF = _ONE >> 1


def compiled(function: Callable) -> Callable:
    """numba's njit without the interpreter lock, kept on disk beside the code or else in the user's cache folder."""
    try:
        return numba.njit(cache=True, nogil=True, error_model="numpy")(function)
    except RuntimeError:  # numba finds no folder it may write to; compiling costs some seconds per process then
        return numba.njit(nogil=True, error_model="numpy")(function)


@compiled
def rasterise(points, colours, triangles, background, supersample):
    """Draw triangles over a background.

    Triangles that are counter-clockwise in the image are drawn, the others are culled; so is a triangle with a vertex
    nearer than NEAREST, or about a million samples outside the image. The nearer wins, of equally near ones the first
    in `triangles`. Arrays are not checked: an index outside `points` reads other memory.

    Args:
        points: float32 (V, 3): x to the right and y down in pixels ((0.5, 0.5) is the centre of the top-left pixel),
            depth.
        colours: float32 (V, 3) RGB [0, 255].
        triangles: int32 (F, 3) rows of points.
        background: uint8 (H, W, 3) RGB.
        supersample: samples per pixel along each side; they are averaged.

    Returns:
        uint8 (H, W, 3) RGB.
    """
    height, width = background.shape[0] * supersample, background.shape[1] * supersample
    fixed = np.empty((len(points), 2), np.int64)
    nearness = np.zeros(len(points), np.float32)
    for v in range(len(points)):
        x, y = points[v, 0] * supersample * _ONE, points[v, 1] * supersample * _ONE
        if points[v, 2] >= NEAREST and abs(x) <= FARTHEST and abs(y) <= FARTHEST:
            fixed[v, 0], fixed[v, 1], nearness[v] = round(x), round(y), 1 / points[v, 2]
    depth_buffer = np.zeros((height, width), np.float32)
    samples = np.empty((height, width, 3), np.float32)
    for f in range(len(triangles)):
        # The second and third swapped: y points down in the image, so that this has a positive area if not culled.
        a, b, c = triangles[f, 0], triangles[f, 2], triangles[f, 1]
        if nearness[a] > 0 and nearness[b] > 0 and nearness[c] > 0:
            _fill(a, b, c, fixed, nearness, colours, depth_buffer, samples)
    return _resolve(depth_buffer, samples, background, supersample)


@compiled
def _fill(a, b, c, fixed, nearness, colours, depth_buffer, samples):
    """One triangle into the depth buffer (1/depth, 0 where nothing is) and the samples."""
    xa, ya, xb, yb, xc, yc = fixed[a, 0], fixed[a, 1], fixed[b, 0], fixed[b, 1], fixed[c, 0], fixed[c, 1]
    area = (xb - xa) * (yc - ya) - (yb - ya) * (xc - xa)
    if area <= 0:
        return
    left = max(0, (min(xa, xb, xc) - _HALF + _ONE - 1) >> SUBPIXEL_BITS)
    right = min(depth_buffer.shape[1] - 1, (max(xa, xb, xc) - _HALF) >> SUBPIXEL_BITS)
    top = max(0, (min(ya, yb, yc) - _HALF + _ONE - 1) >> SUBPIXEL_BITS)
    bottom = min(depth_buffer.shape[0] - 1, (max(ya, yb, yc) - _HALF) >> SUBPIXEL_BITS)
    # A sample on an edge belongs to the triangle whose top or left edge it is; on another edge it needs more than 0.
    least_a = 0 if yc < yb or (yc == yb and xc > xb) else 1
    least_b = 0 if ya < yc or (ya == yc and xa > xc) else 1
    least_c = 0 if yb < ya or (yb == ya and xb > xa) else 1
    near_a, near_b, near_c = nearness[a], nearness[b], nearness[c]
    x, scale = left * _ONE + _HALF, np.float32(1 / area)
    for row in range(top, bottom + 1):
        y = row * _ONE + _HALF
        wa = (xc - xb) * (y - yb) - (yc - yb) * (x - xb)
        wb = (xa - xc) * (y - yc) - (ya - yc) * (x - xc)
        wc = (xb - xa) * (y - ya) - (yb - ya) * (x - xa)
        for column in range(left, right + 1):
            if wa >= least_a and wb >= least_b and wc >= least_c:
                pa, pb, pc = wa * scale * near_a, wb * scale * near_b, wc * scale * near_c
                near = np.float32(pa + pb + pc)
                if near > depth_buffer[row, column]:
                    depth_buffer[row, column] = near
                    for channel in range(3):
                        mixed = pa * colours[a, channel] + pb * colours[b, channel] + pc * colours[c, channel]
                        samples[row, column, channel] = mixed / near
            wa -= (yc - yb) * _ONE
            wb -= (ya - yc) * _ONE
            wc -= (yb - ya) * _ONE


@compiled
def _resolve(depth_buffer, samples, background, supersample):
    """Mean over the samples of each pixel, the background where no triangle is."""
    frame = np.empty_like(background)
    share = np.float32(1 / supersample**2)
    for row in range(len(frame)):
        for column in range(frame.shape[1]):
            red, green, blue, empty = np.float32(0.5), np.float32(0.5), np.float32(0.5), np.float32(0)
            for y in range(row * supersample, (row + 1) * supersample):
                for x in range(column * supersample, (column + 1) * supersample):
                    if depth_buffer[y, x] > 0:
                        red += share * samples[y, x, 0]
                        green += share * samples[y, x, 1]
                        blue += share * samples[y, x, 2]
                    else:
                        empty += share
            frame[row, column, 0] = np.uint8(red + empty * background[row, column, 0])
            frame[row, column, 1] = np.uint8(green + empty * background[row, column, 1])
            frame[row, column, 2] = np.uint8(blue + empty * background[row, column, 2])
    return frame
