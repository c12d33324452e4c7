/** The little of SVG that the charts need. */

export type Element = string & { readonly isElement: true };

export function element(
  name: string,
  attributes: Readonly<Record<string, string | number>>,
  content = '',
): Element {
  const written = Object.entries(attributes).map(([key, value]) => ` ${key}="${escaped(shortened(value))}"`);
  return `<${name}${written.join('')}${content === '' ? '/>' : `>${content}</${name}>`}` as Element;
}

export interface TextStyle {
  readonly anchor?: 'start' | 'middle' | 'end';
  readonly size?: number;
  readonly weight?: number;
  readonly fill?: string;
  /** Keeps lines behind it away from the letters. */
  readonly halo?: boolean;
}

export function text(x: number, y: number, words: string, style: TextStyle = {}): Element {
  const { anchor = 'start', size = 12, weight = 400, fill = '#212529', halo = false } = style;
  const font = { 'text-anchor': anchor, 'font-size': size, 'font-weight': weight };
  const around = halo ? { 'paint-order': 'stroke', stroke: '#ffffff', 'stroke-width': 4 } : {};
  return element('text', { x, y, ...font, fill, ...around }, escaped(words));
}

/** A whole picture, on white, so that it can be read on any page. @param title for those who cannot see it */
export function svg(width: number, height: number, title: string, elements: readonly Element[]): string {
  const frame = { xmlns: 'http://www.w3.org/2000/svg', viewBox: `0 0 ${width} ${height}`, width, height };
  const background = element('rect', { width, height, fill: '#ffffff' });
  const lines = [element('title', {}, escaped(title)), background, ...elements];
  const font = 'system-ui, sans-serif';
  return `${element('svg', { ...frame, role: 'img', 'font-family': font }, `\n${lines.join('\n')}\n`)}\n`;
}

function shortened(value: string | number): string {
  return typeof value === 'number' ? String(Number(value.toFixed(1))) : value;
}

function escaped(words: string): string {
  return words.replace(/[&<>"]/g, (sign) => ESCAPES[sign]!);
}

const ESCAPES: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' };
