// Return the visible elements of a page: [{label, box: [x1, y1, x2, y2]}], in CSS pixels of the viewport.
//
// The script is the same for generated and other pages. It reads tags, roles, types and computed styles. A page that
// draws a widget with plain elements can set `data-ui="toggle"` (or another class, or `none`) on it.
// README.md lists the rules.
() => {
  const PRESS = 'button,a[href],summary,[role=button],[role=link],[role=menuitem],[role=option],[onclick],a[role]';
  const TYPED = new Set(['text', 'search', 'email', 'password', 'tel', 'url', 'number', 'date', 'time', 'month',
    'week', 'datetime-local', 'file']);
  const SOLID = new Set(['button', 'text_field', 'dropdown', 'checkbox', 'radio', 'toggle', 'slider', 'tab']);
  const view = [0, 0, document.documentElement.clientWidth || innerWidth, innerHeight];
  const bodySize = Math.max(13, parseFloat(getComputedStyle(document.body).fontSize) || 16);
  // ---- styles and colors
  const styles = new Map(), colors = new Map(), bodies = new Map();
  const paint = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
  paint.canvas.width = paint.canvas.height = 1;
  const css = (el) => {
    if (!styles.has(el)) styles.set(el, getComputedStyle(el));
    return styles.get(el);
  };
  const parentOf = (el) => el.parentElement || (el.getRootNode().host ?? null);
  const rgba = (text) => {
    if (!colors.has(text)) {
      paint.clearRect(0, 0, 1, 1);
      paint.fillStyle = text;
      paint.fillRect(0, 0, 1, 1);
      colors.set(text, [...paint.getImageData(0, 0, 1, 1).data]);
    }
    return colors.get(text);
  };
  const over = (top, under) => top.slice(0, 3).map((v, i) => v * top[3] / 255 + under[i] * (1 - top[3] / 255));
  const backdrop = (el) => {
    for (let at = el; at; at = parentOf(at)) {
      const color = rgba(css(at).backgroundColor);
      if (color[3] > 0) return color[3] > 250 ? color.slice(0, 3) : over(color, backdrop(parentOf(at)));
      if (css(at).backgroundImage.includes('gradient')) return [-99, -99, -99];
    }
    return [255, 255, 255];
  };
  const differs = (a, b, by = 5) => Math.max(...[0, 1, 2].map((i) => Math.abs(a[i] - b[i]))) >= by;

  // Sides with a visible border, and whether there is a visible fill or shadow: the parts of a body.
  const drawn = (style, under) => {
    const line = (side) => parseFloat(style[`border${side}Width`]) >= 0.5 &&
      !['none', 'hidden'].includes(style[`border${side}Style`]) &&
      rgba(style[`border${side}Color`])[3] > 20 && differs(over(rgba(style[`border${side}Color`]), under), under, 8);
    const lines = ['Top', 'Right', 'Bottom', 'Left'].filter(line);
    const fill = rgba(style.backgroundColor);
    const filled = (fill[3] > 8 && differs(over(fill, under), under)) || style.backgroundImage.includes('gradient');
    const shadow = style.boxShadow !== 'none' && style.boxShadow.split(/,(?![^(]*\))/).some((part) => {
      const color = part.match(/(rgba?|color|oklch|oklab|hsla?|lab|lch)\([^)]*\)|#\w+/);
      const lengths = (part.replace(color?.[0] ?? '', '').match(/-?[\d.]+px/g) || []).map(parseFloat);
      return color && rgba(color[0])[3] > 16 && lengths.some((length) => Math.abs(length) > 0.4) &&
        !(part.includes('inset') && Math.abs(lengths[0]) + Math.abs(lengths[1]) > 0.4 && lengths[3] <= 0);
    });
    return {lines, filled, shadow};
  };
  const bodyOf = (el) => {
    if (!bodies.has(el)) {
      const under = backdrop(parentOf(el) || document.body);
      const {lines, filled, shadow} = drawn(css(el), under);
      const behind = ['::before', '::after'].some((pseudo) => {
        const style = getComputedStyle(el, pseudo), box = el.getBoundingClientRect();
        if (style.content === 'none' || style.position !== 'absolute' || css(el).position === 'static') return false;
        const wide = parseFloat(style.width) >= box.width * 0.9 && parseFloat(style.height) >= box.height * 0.9;
        const look = drawn(style, backdrop(el));
        return wide && parseFloat(style.opacity) > 0.1 && (look.filled || look.shadow || look.lines.length >= 3);
      });
      bodies.set(el, {lines, whole: filled || shadow || lines.length >= 3 || behind,
        under: lines.includes('Bottom') && lines.length < 3});
    }
    return bodies.get(el);
  };

  // ---- boxes
  const rect = (el) => { const r = el.getBoundingClientRect(); return [r.left, r.top, r.right, r.bottom]; };
  const size = (b) => [Math.max(0, b[2] - b[0]), Math.max(0, b[3] - b[1])];
  const area = (b) => size(b)[0] * size(b)[1];
  const cut = (a, b) => [Math.max(a[0], b[0]), Math.max(a[1], b[1]), Math.min(a[2], b[2]), Math.min(a[3], b[3])];
  const join = (boxes) => [0, 1, 2, 3].map((i) => Math[i < 2 ? 'min' : 'max'](...boxes.map((b) => b[i])));
  const holds = (outer, inner) => {
    const x = (inner[0] + inner[2]) / 2, y = (inner[1] + inner[3]) / 2;
    return outer[0] <= x && x <= outer[2] && outer[1] <= y && y <= outer[3];
  };
  const seen = (el) => el.checkVisibility({opacityProperty: true, visibilityProperty: true}) && solidity(el) > 0.25;
  const solidity = (el) => {
    let value = 1;
    for (let at = el; at; at = parentOf(at)) value *= parseFloat(css(at).opacity);
    return value;
  };
  const clipped = (el, box) => {
    let position = css(el).position, clip = cut(box, view);
    for (let at = parentOf(el); at && position !== 'fixed'; at = parentOf(at)) {
      const style = css(at);
      if (position === 'absolute' && style.position === 'static' && style.transform === 'none') continue;
      position = style.position;
      if (at !== document.body && at !== document.documentElement && style.overflow !== 'visible') {
        clip = cut(clip, rect(at));
      }
    }
    return clip;
  };

  // Visible text of `el`, one box per line, without glyphs of icon fonts.
  const lineBoxes = (el) => {
    const range = document.createRange(), boxes = [];
    const walk = document.createTreeWalker(el, NodeFilter.SHOW_TEXT);
    for (let node = walk.nextNode(); node; node = walk.nextNode()) {
      const at = node.parentElement;
      if (!node.data.trim() || isGlyph(at) || at.closest('svg,[data-ui=none]') || !seen(at) || onBadge(at, el)) continue;
      range.selectNodeContents(node);
      const tall = 1.25 * parseFloat(css(at).fontSize);  // fonts of some scripts have large line gaps
      for (const r of range.getClientRects()) {
        const spare = Math.max(0, r.height - tall) / 2;
        if (r.width > 1.5 && r.height > 1.5) boxes.push([r.left, r.top + spare, r.right, r.bottom - spare]);
      }
    }
    boxes.sort((a, b) => a[1] - b[1] || a[0] - b[0]);
    const lines = [];
    for (const box of boxes) {
      const line = lines.find((l) => Math.min(l[3], box[3]) - Math.max(l[1], box[1]) > 0.5 * Math.min(size(l)[1], size(box)[1])
        && box[0] - l[2] < 24 && l[0] - box[2] < 24);
      if (line) line.splice(0, 4, ...join([line, box])); else lines.push([...box]);
    }
    return lines;
  };
  const onBadge = (at, el) => at !== el && (bodyOf(at).whole || (at.parentElement !== el && onBadge(at.parentElement, el)));
  const textOf = (el) => (el.innerText ?? el.textContent ?? '').trim();
  const isGlyph = (el) => {
    const words = el.textContent.trim();
    if (el.children.length || words.length > 24) return false;
    if (/material (icons|symbols)|material-icons/i.test(css(el).fontFamily)) return words !== '';
    if (words) return /^[\ue000-\uf8ff]$/.test(words);
    return ['::before', '::after'].some((p) => /[\ue000-\uf8ff\u{f0000}-\u{ffffd}]/u.test(getComputedStyle(el, p).content));
  };

  // The box of an absolutely placed pseudo-element, which the DOM does not provide.
  const pseudoBox = (el, pseudo) => {
    const style = getComputedStyle(el, pseudo);
    const wide = parseFloat(style.width) || 0, high = parseFloat(style.height) || 0;
    if (style.content === 'none' || style.position !== 'absolute' || wide < 2 || high < 2) return null;
    const edges = style.boxSizing === 'border-box' ? [0, 0] : [['Left', 'Right'], ['Top', 'Bottom']].map((sides) =>
      sides.reduce((sum, s) => sum + parseFloat(style[`border${s}Width`]) + parseFloat(style[`padding${s}`]), 0));
    const w = wide + edges[0], h = high + edges[1];
    let host = el;
    while (host && css(host).position === 'static') host = parentOf(host);
    if (!host) return null;
    const outer = host.getBoundingClientRect(), hs = css(host);
    const x = outer.left + parseFloat(hs.borderLeftWidth) + parseFloat(style.left) + parseFloat(style.marginLeft);
    const y = outer.top + parseFloat(hs.borderTopWidth) + parseFloat(style.top) + parseFloat(style.marginTop);
    return [x, y, x + w, y + h];
  };

  // The box of a checkbox: the input itself, or the element that is drawn instead of it.
  const tickBox = (el) => {
    const own = rect(el);
    const hidden = !seen(el) || Math.min(...size(own)) < 8 || css(el).clipPath !== 'none' && css(el).position === 'absolute';
    if (!hidden) return {target: el, box: own};
    const label = el.labels?.[0] ?? el.closest('label');
    const near = [el.nextElementSibling, label, label?.firstElementChild, ...(el.nextElementSibling?.children ?? []),
      ...(label?.children ?? []), parentOf(el)].filter((at, i, all) => at && at !== el && all.indexOf(at) === i);
    let best = null;
    for (const at of near) {
      const parts = ['::before', '::after'].map((p) => {
        const look = getComputedStyle(at, p), d = drawn(look, backdrop(parentOf(at)));
        return seen(at) && parseFloat(look.opacity) > 0.1 && (d.filled || d.shadow || d.lines.length >= 2) ? pseudoBox(at, p) : null;
      }).filter(Boolean);
      const both = parts.length === 2 && area(cut(...parts)) > 0 ? [join(parts)] : parts;
      for (const box of [seen(at) && !textOf(at) && bodyOf(at).whole ? rect(at) : null, ...both]) {
        const [w, h] = box ? size(box) : [0, 0];
        if (w >= 10 && h >= 10 && w <= 72 && h <= 44 && (!best || area(box) > area(best.box))) best = {target: at, box};
      }
      if (best) break;
    }
    return best;
  };

  const candidates = [];
  const add = (label, target, box, extra = {}) => {
    const part = clipped(target, box);
    const large = Math.min(...size(part)) >= 40;  // a partly scrolled table is still recognizable
    if (area(box) > 0 && area(part) > 0 && (large || area(part) >= 0.5 * area(box))) candidates.push({label, target, box: part, ...extra});
  };

  // The visible frame of a text field: the input, or the element drawn around it.
  const frameOf = (el) => {
    const own = size(rect(el));
    for (let at = el, steps = 0; at && steps < 4; at = parentOf(at), steps++) {
      const [w, h] = size(rect(at));
      const others = at === el ? 0 : [...at.querySelectorAll(`input:not([type=hidden]),textarea,select,${PRESS}`)]
        .filter((other) => other !== el && seen(other) && textOf(other)).length;
      if (others || h > own[1] * 2.4 + 8 || w > own[0] * 2.5 + 80) break;
      if (bodyOf(at).whole || bodyOf(at).under) return at;
    }
    return el;
  };
  const hasCaret = (el) => {
    const after = getComputedStyle(el, '::after');
    return (after.content !== 'none' && (parseFloat(after.borderTopWidth) >= 3 || /[▾▼⌄]|[\ue000-\uf8ff]/.test(after.content) ||
      (parseFloat(after.borderBottomWidth) >= 1 && parseFloat(after.width) < 16 && after.transform !== 'none'))) ||
      [...el.querySelectorAll('[class*=caret i],[class*=chevron-down i],[class*=arrow-down i],[class*=angle-down i],[class*=expand_more]')].some(seen);
  };

  const heading = (el) => {
    const style = css(el), px = parseFloat(style.fontSize), text = textOf(el);
    if (!text || text.length > 160) return false;
    if (/^h[1-6]$/.test(el.localName) || el.getAttribute('role') === 'heading') {
      const inner = [...el.querySelectorAll('*')].filter((at) => textOf(at)).map((at) => parseFloat(css(at).fontSize));
      return Math.max(px, ...inner) > 1.08 * bodySize || parseInt(style.fontWeight) >= 550;
    }
    const own = [...el.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
    if (!own || bodyOf(el).whole || text.length < 2 || text.length > 90 || ['td', 'code', 'pre', 'sup', 'option'].includes(el.localName)) return false;
    const named = /title|heading/i.test(el.getAttribute('class') ?? '') && !el.closest('nav,aside,[role=navigation],[class*=menu i]');
    const bold = parseInt(style.fontWeight) >= 600;
    return px >= Math.max(20, 1.3 * bodySize) || bold && px >= 1.2 * bodySize ||
      named && (bold && px >= 0.95 * bodySize || px >= 1.15 * bodySize);
  };

  // The element, or the list item around it alone, that is drawn as a body.
  const bodied = (el) => {
    const outer = parentOf(el);
    if (bodyOf(el).whole || !outer || outer.children.length > 1 || textOf(outer) !== textOf(el)) return el;
    return bodyOf(outer).whole && area(rect(outer)) < 3 * area(rect(el)) && size(rect(outer))[1] <= 88 ? outer : el;
  };

  const press = (pressed) => {
    const el = bodied(pressed), box = rect(el), [w, h] = size(box), text = textOf(el);
    if (['menuitem', 'option'].includes(el.getAttribute('role')) && el.closest('select')) return;
    const inner = [...el.querySelectorAll('img,canvas,video,h1,h2,h3,h4,h5,p,input,select,textarea,table')].filter(
      (at) => seen(at) && Math.max(...size(rect(at))) > 26);
    const caret = hasCaret(el) || el.dataset.caret || el.querySelector('[data-caret]');
    const opens = el.hasAttribute('aria-haspopup') || /dropdown/.test(el.dataset.bsToggle ?? el.dataset.toggle ?? '') || el.dataset.caret;
    if (bodyOf(el).whole && h <= 88 && h >= 10 && w >= 10 && !inner.length) {
      return add(caret && opens && text ? 'dropdown' : 'button', el, box, {words: text !== ''});
    }
    if (/^[^\p{L}\p{N}]{1,2}$/u.test(text) && lineBoxes(el).length) return add('icon', el, join(lineBoxes(el)));  // such as ×
    if (!text || inner.length > 1 || (inner.length && text.length > 60) || text.length > 160) return;
    const lines = lineBoxes(el);  // more than two lines in blocks are a clickable card or row
    const blocks = lines.length > 2 && [...el.querySelectorAll('*')].some((at) => /^(block|flex|grid)$/.test(css(at).display) && textOf(at));
    if (!blocks) for (const line of lines) add('link', el, line, {text: true});
  };

  const tab = (el) => {
    const parts = [...el.querySelectorAll('*'), el].filter(seen);
    const body = [bodied(el), ...el.children].find((at) => seen(at) && bodyOf(at).whole && area(rect(at)) > 0.6 * area(rect(el)));
    if (body) return add('tab', body, rect(body));
    const marks = parts.filter((at) => at.localName === 'svg' || isGlyph(at) || at.localName === 'img').map(rect);
    const content = [...lineBoxes(el), ...marks];
    if (!content.length) return;
    const line = parts.find((at) => {
      const after = ['::after', '::before'].some((p) => {
        const s = getComputedStyle(at, p);
        return s.content !== 'none' && parseFloat(s.height) <= 6 && parseFloat(s.width) > 12 && rgba(s.backgroundColor)[3] > 30 && parseFloat(s.opacity) > 0.3;
      });
      const strip = size(rect(at));
      return after || bodyOf(at).under || (strip[1] > 0 && strip[1] <= 5 && strip[0] > 12 && rgba(css(at).backgroundColor)[3] > 30);
    });
    const box = join(content);
    add('tab', el, line ? [rect(el)[0], box[1], rect(el)[2], rect(el)[3]] : box, {text: true});
  };

  const labelImage = (el) => {
    const box = rect(el), [w, h] = size(box), tag = el.localName;
    if (Math.min(w, h) < 6) return;
    if (tag === 'svg') {
      const shapes = el.querySelectorAll('path,rect,circle,line,polyline,polygon,ellipse,use,text').length;
      if (!shapes) return;
      const icon = Math.max(w, h) <= 100 && Math.max(w, h) <= 3 * Math.min(w, h);
      return add(icon ? 'icon' : 'image', el, box);
    }
    if (tag === 'img' && !(el.complete && el.naturalWidth > 1)) return;
    const vector = /\.svg(\?|$)|^data:image\/svg/.test(el.currentSrc ?? '');
    add(Math.max(w, h) <= (vector ? 64 : 20) ? 'icon' : 'image', el, box);
  };

  const table = (el) => {
    const rows = [...el.querySelectorAll('tr,[role=row]')].filter(seen);
    const columns = Math.max(0, ...rows.slice(0, 4).map((row) => row.querySelectorAll('td,th,[role=cell],[role=gridcell],[role=columnheader]').length));
    if (rows.length >= 2 && columns >= 2 && el.getAttribute('role') !== 'presentation') add('table', el, rect(el));
  };

  const labelBackgroundImage = (el) => {
    const [w, h] = size(rect(el)), image = css(el).backgroundImage, vector = /\.svg"|data:image\/svg/.test(image);
    if (!/url\(/.test(image) || textOf(el) || Math.min(w, h) < 12 || vector && Math.max(w, h) > 64) return;
    if (!el.querySelector('img,svg,canvas')) add(vector || Math.max(w, h) <= 20 ? 'icon' : 'image', el, rect(el));
  };

  const labelElement = (el) => {
    const tag = el.localName, role = el.getAttribute('role'), type = (el.getAttribute('type') || 'text').toLowerCase();
    const hint = el.dataset?.ui;
    if (hint === 'none') return;
    if (hint === 'heading' || hint === 'link') return lineBoxes(el).length && (hint === 'link' ?
      lineBoxes(el).forEach((line) => add('link', el, line, {text: true})) : add('heading', el, join(lineBoxes(el)), {text: true}));
    if (hint === 'tab') return tab(el);
    if (hint) return add(hint, el, ['slider', 'toggle'].includes(hint) ? join([el, ...el.querySelectorAll('*')].filter(seen).map(rect)) : rect(el));
    if (tag === 'input' && (type === 'checkbox' || type === 'radio') || ['checkbox', 'radio', 'switch'].includes(role)) {
      const at = tag === 'input' ? tickBox(el) : {target: el, box: rect(el)};
      if (!at || el.closest('[data-ui]:not([data-ui=none])') || el.parentElement?.closest('[role=switch],[role=checkbox],[role=radio]')) return;
      const [w, h] = size(at.box);
      if (tag !== 'input' && (w > 80 || h > 50)) return;
      const kind = w >= 1.4 * h ? 'toggle' : (role === 'switch' && tag !== 'input' ? 'toggle' : role === 'radio' || type === 'radio' ? 'radio' : 'checkbox');
      return w <= 80 && h <= 50 && add(kind, at.target, at.box, {owner: el});
    }
    if (!seen(el)) return;
    if (tag === 'input' && type === 'range' || role === 'slider') {
      const wide = role === 'slider' && size(rect(el))[0] < 40 ? el.closest('[class*=slider i]:not([role=slider])') ?? el : el;
      return add('slider', wide, rect(wide));
    }
    if (tag === 'select') return !el.multiple && el.size <= 1 && add('dropdown', frameOf(el), rect(frameOf(el)), {owner: el});
    if (tag === 'input' && ['button', 'submit', 'reset'].includes(type)) return bodyOf(el).whole && add('button', el, rect(el));
    if (role === 'tab' || el.matches('.nav-tabs > li > a, .nav-tabs .nav-link, .nav-pills .nav-link, [role=tablist] > li > a')) return tab(el);
    if (role === 'combobox' && (tag !== 'input' || el.readOnly)) return add('dropdown', frameOf(el), rect(frameOf(el)));
    const typed = tag === 'textarea' || tag === 'input' && TYPED.has(type) || role === 'textbox' || role === 'searchbox';
    if (typed || el.getAttribute('contenteditable') === 'true') {
      const frame = frameOf(el);
      return (bodyOf(frame).whole || bodyOf(frame).under || tag !== 'div') && add('text_field', frame, rect(frame), {owner: el});
    }
    if (tag === 'input' || tag === 'option') return;
    if (tag === 'table' || role === 'grid' || role === 'table') return table(el);
    if (['img', 'canvas', 'video', 'svg'].includes(tag)) return el.parentElement?.closest('svg') || labelImage(el);
    if (el.closest('svg')) return;
    if (isGlyph(el)) return add('icon', el, rect(el));
    const [w, h] = size(rect(el));  // a switch of plain elements, known by its class and shape
    const shaped = w >= 1.4 * h && w <= 2.6 * h && h >= 12 && h <= 40 && !textOf(el) && !el.querySelector('svg,button,input');
    if (shaped && /(^|[^a-z])(switch|toggle)([^a-z]|$)/i.test(el.getAttribute('class') ?? '') && bodyOf(el).whole) {
      return add('toggle', el, rect(el));
    }
    const control = tag === 'label' && el.control;  // a label that replaces a hidden input
    if (el.matches(PRESS) || control && bodyOf(el).whole && textOf(el) && (!seen(control) || Math.min(...size(rect(control))) < 8)) press(el);
    else labelBackgroundImage(el);
    if (heading(el) && lineBoxes(el).length) add('heading', el, join(lineBoxes(el)), {text: true});
  };

  // ---- visibility
  const related = (hit, item) => {
    if (!hit) return false;
    const owners = [item.target, item.owner].filter(Boolean);
    return owners.some((el) => hit === el || el.contains(hit) || hit.contains(el) || el.getRootNode().host === hit ||
      (hit.control ?? hit.closest?.('label')?.control) === (el.control ?? el)) ||
      owners.some((el) => hit.closest('label') && hit.closest('label') === el.closest('label'));
  };
  const uncovered = (item) => {
    const n = 6, [w, h] = size(item.box), xs = [], ys = [];
    let hits = 0;
    for (let i = 0; i < n; i++) {
      for (let j = 0; j < n; j++) {
        const x = item.box[0] + w * (i + 0.5) / n, y = item.box[1] + h * (j + 0.5) / n;
        if (!related(topmost(x, y, item), item)) continue;
        hits++;
        xs.push(i);
        ys.push(j);
      }
    }
    if (hits < 0.5 * n * n) return null;
    const box = [item.box[0] + w * Math.min(...xs) / n, item.box[1] + h * Math.min(...ys) / n,
      item.box[0] + w * (Math.max(...xs) + 1) / n, item.box[1] + h * (Math.max(...ys) + 1) / n];
    return {...item, box};
  };
  // The element painted at a point. Elements without paint do not cover what is below them.
  const painted = (el) => {
    if (['img', 'svg', 'canvas', 'video', 'input', 'select', 'textarea', 'button', 'path', 'iframe'].includes(el.localName)) return true;
    const style = css(el);
    return rgba(style.backgroundColor)[3] > 25 || style.backgroundImage !== 'none' || [...el.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
  };
  const topmost = (x, y, item) => {
    const hit = deepest(document, x, y);
    if (!hit || related(hit, item) || painted(hit)) return hit;
    return document.elementsFromPoint(x, y).find((at) => related(at, item) || painted(at)) ?? null;
  };
  const deepest = (root, x, y) => {
    const hit = root.elementFromPoint(x, y);
    const inner = hit?.shadowRoot && deepest(hit.shadowRoot, x, y);
    return inner && inner !== hit ? inner : hit;
  };

  const everything = (root) => [...root.querySelectorAll('*')].flatMap((el) => el.shadowRoot ? [el, ...everything(el.shadowRoot)] : [el]);
  const near = (el) => { const r = rect(el); return r[3] > -40 && r[2] > -40 && r[1] < view[3] + 40 && r[0] < view[2] + 40; };
  for (const el of everything(document.body)) {
    if (['script', 'style', 'template', 'noscript', 'br', 'path'].includes(el.localName) || !near(el)) continue;
    const hinted = el.parentElement?.closest('[data-ui]');
    if (hinted && hinted.dataset.ui !== 'table') continue;
    labelElement(el);
  }
  let items = candidates.map(uncovered).filter(Boolean);

  // ---- one label per element
  const same = (a, b) => a.target === b.target || a.target.contains(b.target) || b.target.contains(a.target);
  const within = (item, labels) => items.some((other) => other !== item && labels.has(other.label) && holds(other.box, item.box)
    && area(other.box) >= area(item.box) * 0.9);
  const texts = new Set(['heading', 'link']), marks = new Set(['icon', 'image']);
  items = items.filter((item) => !(texts.has(item.label) && within(item, SOLID)));
  items = items.filter((item) => !(marks.has(item.label) && within(item, SOLID)));
  items = items.filter((item) => !(item.label === 'link' && items.some((o) => o.label === 'heading' && same(o, item) && holds(o.box, item.box))));
  items = items.filter((item, i) => !(item.label === 'heading' && items.some((o, j) => o.label === 'heading' && j !== i && o.target !== item.target &&
    o.target.contains(item.target))));
  items = items.filter((item) => !(item.label === 'button' && items.some((o) => o !== item && (o.label === 'text_field' || o.label === 'dropdown') &&
    holds(o.box, item.box) && area(o.box) > area(item.box))));
  items = items.filter((item) => !(item.label === 'icon' && items.some((o) => o !== item && o.label === 'icon' && o.target.contains(item.target))));
  return items.map(({label, box, words, text}) => ({label, box, words, text}));
}
