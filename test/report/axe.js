// Appended to a copy of the report for the test: what axe finds, and how the page fits, as JSON.
axe.run(document, { resultTypes: ['violations'] }).then(r => {
    const out = {
        violations: r.violations.map(v => v.id + ': ' + v.help + ' (' + v.nodes.slice(0, 3).map(n => n.target.join(' ')).join('; ') + ')'),
        passes: r.passes.length,
        width: document.documentElement.scrollWidth, window: window.innerWidth,
        dark: matchMedia('(prefers-color-scheme: dark)').matches,
        alerts: window.alerted || 0,
        text: document.body.innerText.includes('<img src=x onerror=alert(2)>') && document.body.innerText.includes('日本語'),
        sections: [...document.querySelectorAll('h2')].map(h => h.textContent),
    };
    document.title = 'RESULT' + btoa(unescape(encodeURIComponent(JSON.stringify(out)))) + 'END';
});
