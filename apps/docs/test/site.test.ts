// Builds the site and checks that every link works, when fetched from the server and when clicked in Chromium.
import { execFile } from 'node:child_process';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { startBrowser } from '../../../packages/backend-webgpu/test/browser.ts';
import { startStaticServer, type StaticServer } from '../../../packages/backend-webgpu/test/static-server.ts';

const docs = fileURLToPath(new URL('..', import.meta.url));
let server: StaticServer;
let origin: string;
let browser: Browser;

beforeAll(async () => {
  await promisify(execFile)('npm', ['run', 'build:site'], { cwd: docs, maxBuffer: 2 ** 24 });
  server = await startStaticServer({ '/': join(docs, '.vitepress/dist') });
  origin = server.url.slice(0, -1);
  browser = await startBrowser({ gpu: false });
}, 900_000);

afterAll(async () => {
  await browser?.close();
  await server?.close();
});

/** The values of an attribute in a page as it was built: with navigation, sidebar and content, before any script runs. */
function valuesOf(page: string, attribute: RegExp): string[] {
  return [...page.matchAll(attribute)].map(([, value]) => value!.replaceAll('&amp;', '&'));
}

/** Returns the URLs within the site to which a page links. */
function linksOf(page: string, address: string): string[] {
  const links = valuesOf(page, /<a\s[^>]*?\bhref="([^"]*)"/gu).map((href) => new URL(href, address).href);
  return [...new Set(links)].filter((link) => link.startsWith(`${origin}/`));
}

it('every link of every page points to an existing page and anchor', async () => {
  const waiting = new Set([`${origin}/`]);
  const anchors = new Map<string, ReadonlySet<string>>();
  const linked = new Map<string, string>();
  const broken: string[] = [];
  for (const address of waiting) {
    const answer = await fetch(address);
    const page = await answer.text();
    if (answer.status !== 200 || page.includes('class="NotFound"')) {
      broken.push(`${address} (linked from ${linked.get(address)})`);
      continue;
    }
    anchors.set(address, new Set(valuesOf(page, /<\w[^>]*?\sid="([^"]*)"/gu)));
    for (const link of linksOf(page, address)) {
      if (!linked.has(link)) linked.set(link, address);
      const [target] = link.split('#');
      if (!linked.has(target!)) linked.set(target!, address);
      waiting.add(target!);
    }
  }
  for (const [link, source] of linked) {
    const [address, anchor] = link.split('#');
    const ids = anchors.get(address!);
    if (ids !== undefined && anchor && !ids.has(decodeURIComponent(anchor)))
      broken.push(`${link} (linked from ${source})`);
  }
  expect(broken).toEqual([]);
  const paths = [...anchors.keys()].map((address) => address.slice(origin.length));
  const guides = (await readdir(join(docs, 'guide'))).map((name) => `/guide/${name.replace('.md', '')}`);
  expect(paths).toEqual(expect.arrayContaining([...guides, '/playground', '/reference/', '/reference/core/node']));
});

it.each(['/guide/getting-started', '/reference/'])(
  'the navigation and the sidebar of %s work without a reload',
  async (start) => {
    const page = await browser.newPage();
    await page.goto(origin + start, { waitUntil: 'networkidle' });
    const links = await page.$$eval('.VPNavBarMenu a, .VPSidebar a', (anchors) =>
      anchors.map((anchor) => anchor.getAttribute('href')!),
    );
    expect(links.length).toBeGreaterThan(12);
    await page.evaluate(() => Object.assign(globalThis, { sameDocument: true }));
    for (const link of links) {
      await page.click(`.VPNavBarMenu a[href="${link}"], .VPSidebar a[href="${link}"]`);
      await page.waitForURL(origin + link);
      await page.waitForSelector('.VPContent h1');
      expect([link, await page.textContent('.VPContent h1')]).not.toEqual([link, expect.stringContaining('NOT FOUND')]);
      expect(await page.evaluate(() => 'sameDocument' in globalThis)).toBe(true);
      // The sidebar has this link only on pages of its section.
      if (link === start) continue;
      await page.goBack();
      await page.waitForURL(origin + start);
    }
  },
);
