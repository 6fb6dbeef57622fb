// A thin face over uPlot: it draws what it is given, says which range was dragged, and knows no data of its own.
//
// Colours come from the tokens at every draw, so a change of theme needs a redraw and nothing else.
import uPlot from "uplot";

const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const charts = new Set();

new MutationObserver(() => charts.forEach((chart) => chart.plot.redraw(false))).observe(document.documentElement, {
  attributes: true,
  attributeFilter: ["data-theme"],
});

// NaN is a gap (null); a time that only another series has is "no point here" (undefined), which join() sees to.
const column = (values) => Array.from(values, (value) => (Number.isNaN(value) ? null : value));

const table = (times, values) =>
  times.length === 1
    ? [Array.from(times[0]), column(values[0])]
    : uPlot.join(
        times.map((at, i) => [Array.from(at), column(values[i])]),
        // 2: a gap swallows the times beside it that only other series have.
        times.map(() => [0, 2]),
      );

const two = (number) => String(number).padStart(2, "0");
const day = (date) => date.toLocaleDateString(undefined, { day: "numeric", month: "short" });

// Hours and minutes; the date at midnight and where a step is a day or more.
const clock = (plot, ticks, axis, space, step) =>
  ticks.map((tick) => {
    const date = new Date(tick * 1000);
    const midnight = date.getHours() === 0 && date.getMinutes() === 0 && date.getSeconds() === 0;
    if (step >= 86400 || midnight) return day(date);
    const text = `${two(date.getHours())}:${two(date.getMinutes())}`;
    return step < 60 ? `${text}:${two(date.getSeconds())}` : text;
  });

const levels = { warn: "--warn", bad: "--bad" };

const thresholds = (lines) => ({
  hooks: {
    draw: (plot) => {
      const { ctx, bbox } = plot;
      ctx.save();
      ctx.lineWidth = devicePixelRatio;
      ctx.setLineDash([4 * devicePixelRatio, 4 * devicePixelRatio]);
      for (const [value, level] of lines()) {
        const y = Math.round(plot.valToPos(value, "y", true));
        if (y < bbox.top || y > bbox.top + bbox.height) continue;
        ctx.strokeStyle = css(levels[level] ?? "--ink-3");
        ctx.beginPath();
        ctx.moveTo(bbox.left, y);
        ctx.lineTo(bbox.left + bbox.width, y);
        ctx.stroke();
      }
      ctx.restore();
    },
  },
});

export class Chart {
  /**
   * @param host element to draw in
   * @param labels one for each series
   * @param format (value) => text with unit, for axis and legend
   * @param when (seconds) => that time with its zone, for the cursor; (NaN) => the zone alone
   * @param zoomed (fromSeconds, toSeconds) => void, or (NaN, NaN) for "back"
   * @param shared name of the cursor that charts of one page share
   */
  constructor(host, height, labels, format, when, zoomed, shared) {
    this.host = host;
    this.lines = [];
    this.range = null;
    this.height = height;
    const axis = {
      stroke: () => css("--ink-3"),
      grid: { stroke: () => css("--line-2"), width: 1 },
      ticks: { show: false },
      font: "11px Inter Variable, sans-serif",
    };
    this.plot = new uPlot(
      {
        width: Math.max(host.clientWidth, 60),
        height,
        plugins: [thresholds(() => this.lines)],
        cursor: {
          sync: { key: shared, setSeries: false },
          drag: { x: true, y: false, setScale: false },
          points: { size: 6 },
        },
        legend: { live: true, markers: { width: 0 } },
        scales: {
          x: { time: true, range: (_, low, high) => this.range ?? [low, high] },
          y: {
            range: (_, low, high) => {
              if (low == null) return [0, 1];
              const all = this.lines.map(([value]) => value).filter((value) => value <= high * 1.6 + 1e-9);
              const top = Math.max(high, ...all);
              const bottom = Math.min(low, ...all);
              const pad = (top - bottom || Math.abs(top) || 1) * 0.08;
              return [bottom >= 0 && bottom - pad < (top - bottom) * 0.5 ? 0 : bottom - pad, top + pad];
            },
          },
        },
        axes: [
          { ...axis, size: 26, space: 70, values: clock },
          { ...axis, size: 58, space: 34, values: (_, ticks) => ticks.map((tick) => format(tick)) },
        ],
        series: [
          { label: "", value: (_, at) => when(at ?? NaN) },
          ...labels.map((label, i) => ({
            label,
            width: 1.6,
            stroke: () => css(`--c${i + 1}`),
            fill: i === 0 ? () => `${css("--c1")}14` : undefined,
            // A handful of points would be an invisible line.
            points: { show: (plot) => plot.data[0].length < 30, size: 4 },
            spanGaps: false,
            // Where no cursor stands, the newest value.
            value: (plot, value, series, at) => {
              const shown = at == null ? plot.data?.[series]?.findLast((known) => known != null) : value;
              return shown == null ? "—" : format(shown);
            },
          })),
        ],
        hooks: {
          setSelect: [
            (plot) => {
              if (plot.select.width < 6) return;
              const from = plot.posToVal(plot.select.left, "x");
              const to = plot.posToVal(plot.select.left + plot.select.width, "x");
              plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
              zoomed(from, to);
            },
          ],
          ready: [(plot) => plot.over.addEventListener("dblclick", () => zoomed(NaN, NaN))],
        },
      },
      [[], ...labels.map(() => [])],
      host,
    );
    this.watch = new ResizeObserver(() => {
      const width = host.clientWidth;
      if (width > 0 && width !== this.plot.width) this.plot.setSize({ width, height: this.height });
    });
    this.watch.observe(host);
    charts.add(this);
  }

  /** Arrays of Float64Array: seconds, values; then [value, level] pairs; then the range shown (seconds). */
  show(times, values, lines, from, to) {
    this.lines = lines;
    this.range = from < to ? [from, to] : null;
    const points = times.some((at) => at.length > 0);
    this.plot.setData(points ? table(times, values) : this.plot.series.map(() => []), true);
  }

  free() {
    this.watch.disconnect();
    charts.delete(this);
    this.plot.destroy();
  }
}
