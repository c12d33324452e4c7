import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { barChart, gridOf, logScale } from './chart.ts';
import { binned, histograms } from './histogram.ts';
import { element, svg, text } from './svg.ts';

/** Numbers of one attribute of all elements of a name. */
function attributes(picture: string, name: string, attribute: string): number[] {
  const found = picture.matchAll(new RegExp(`<${name} [^>]*\\b${attribute}="([-\\d.]+)"`, 'g'));
  return [...found].map(([, value]) => Number(value));
}

const charts = suite('the charts');

charts('draw a bar each, as long as the logarithm of its ratio says', () => {
  const bars = [
    { who: 'Skylock', wallMs: 1000 },
    { who: 'restic', wallMs: 10_000 },
    { who: 'tar | ssh cat', wallMs: 100_000 },
  ];
  const picture = barChart('times', [{ title: 'big & small', bars }]);
  const [, ours, tenfold, hundredfold] = attributes(picture, 'rect', 'width');
  assert.ok(Math.abs(tenfold! - ours! - (hundredfold! - tenfold!)) < 0.2);
  assert.match(picture, /big &amp; small/);
  assert.match(picture, />10\.0 s · 10\.0 ×</);
});

charts('have a scale from the least to the most, with lines that people know', () => {
  const scale = logScale(0.5, 50);
  assert.equal([scale(0.5), scale(50)], [0, 1]);
  assert.ok(Math.abs(scale(5) - 0.5) < 1e-9);
  assert.equal(gridOf(0.5, 30), [0.5, 1, 2, 5, 10, 20]);
});

charts('count what was sent again in twentieths, all there is from one run on together', () => {
  const counts = binned([0, 0.049, 0.05, 0.999, 1, 1.7, -0.001]);
  assert.equal([counts.length, counts[0], counts[1], counts[19]], [20, 3, 1, 3]);
});

charts('draw a row of bars for each program', () => {
  const rows = [
    { name: 'Skylock', shares: [0.01, 0.02, 0.06] },
    { name: 'restic', shares: [0.4, 0.9, 1] },
  ];
  const picture = histograms('sent again', rows);
  assert.is(attributes(picture, 'rect', 'height').length, 1 + 2 + 3);
  assert.match(picture, /<title>sent again<\/title>/);
  assert.ok(histograms('nothing', []).startsWith('<svg '));
});

charts('let no name break out of its place', () => {
  assert.is(text(1, 2.04, '<b> & "c"').includes('&lt;b&gt; &amp; &quot;c&quot;'), true);
  assert.is(element('rect', { x: 1 / 3, fill: '"' }), '<rect x="0.3" fill="&quot;"/>');
  assert.match(svg(1, 1, '</title>', []), /<title>&lt;\/title&gt;<\/title>/);
});
charts.run();
