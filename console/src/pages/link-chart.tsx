// Throughput and round trip of the last minutes, drawn as they come in.
import { useEffect, useRef } from 'react';
import uPlot from 'uplot';
import { rate, rtt } from '../format.ts';
import { useSamples } from '../samples.ts';
import { text } from '../text.ts';
import { useTheme } from '../theme.ts';

const HEIGHT = 150;

function colour(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function optionsFor(width: number): uPlot.Options {
  const axis = { stroke: colour('--ink-3'), font: '11px system-ui, sans-serif', grid: { stroke: colour('--line'), width: 1 }, ticks: { show: false } };
  return {
    width,
    height: HEIGHT,
    legend: { show: false },
    cursor: { y: false, points: { size: 6 } },
    padding: [10, 0, 0, 0],
    scales: { x: { time: true }, rate: { range: (_, __, max) => [0, Math.max(max || 0, 1_000) * 1.15] }, rtt: { range: (_, __, max) => [0, Math.max(max || 0, 5) * 1.6] } },
    axes: [
      { ...axis, grid: { show: false }, size: 26, space: 70, incrs: [1, 5, 10, 15, 30, 60, 120, 300], values: (_, ticks) => ticks.map((tick) => new Date(tick * 1000).toLocaleTimeString('en-GB')) },
      { ...axis, scale: 'rate', size: 68, space: 36, values: (_, ticks) => ticks.map((tick) => (tick === 0 ? '0' : rate(tick))) },
      { ...axis, scale: 'rtt', side: 1, size: 56, space: 36, grid: { show: false }, values: (_, ticks) => ticks.map((tick) => (tick === 0 ? '' : rtt(tick))) },
    ],
    series: [
      {},
      { scale: 'rate', stroke: colour('--accent'), width: 2, fill: `color-mix(in oklab, ${colour('--accent')} 14%, transparent)`, points: { show: false } },
      { scale: 'rtt', stroke: colour('--warn'), width: 1.5, points: { show: false }, spanGaps: true },
    ],
  };
}

export function LinkChart({ deviceId }: { deviceId: string }) {
  const samples = useSamples(deviceId);
  const theme = useTheme();
  const box = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const few = samples.length < 2;
  useEffect(() => {
    const host = box.current;
    if (!host || few) return;
    const drawn = new uPlot(optionsFor(host.clientWidth), [[], [], []], host);
    plot.current = drawn;
    const sized = new ResizeObserver(() => host.clientWidth > 0 && drawn.setSize({ width: host.clientWidth, height: HEIGHT }));
    sized.observe(host);
    return () => {
      sized.disconnect();
      drawn.destroy();
      plot.current = null;
    };
  }, [theme, few]);
  useEffect(() => {
    plot.current?.setData([samples.map((sample) => sample.at / 1000), samples.map((sample) => sample.bytesPerSecond), samples.map((sample) => sample.rttMs)]);
  }, [samples, theme, few]);
  const last = samples.at(-1);
  return (
    <figure aria-label={text.device.chart} className="min-w-0">
      <figcaption className="mb-1 flex flex-wrap gap-x-5 gap-y-1 text-xs text-ink-2 num">
        <span className="flex items-center gap-1.5">
          <span className="h-0.5 w-3.5 rounded bg-accent" />
          {text.device.throughput} <strong className="font-medium text-ink">{last ? rate(last.bytesPerSecond) : '–'}</strong>
        </span>
        <span className="flex items-center gap-1.5">
          <span className="h-0.5 w-3.5 rounded bg-warn" />
          {text.device.roundTrip} <strong className="font-medium text-ink">{rtt(last?.rttMs)}</strong>
        </span>
      </figcaption>
      {few ? <p className="flex h-[150px] items-center justify-center rounded-xl bg-sunken text-sm text-ink-3">{text.device.chartWaits}</p> : <div ref={box} className="h-[150px] overflow-hidden" />}
    </figure>
  );
}
