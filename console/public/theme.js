// Runs before the first paint, as a file of its own because the page's policy forbids inline scripts.
(function () {
  let wanted = null;
  try {
    wanted = localStorage.getItem('postern.theme');
  } catch (thrown) {
    void thrown; // storage switched off: the system's choice counts
  }
  const dark = wanted === 'dark' || (wanted !== 'light' && matchMedia('(prefers-color-scheme: dark)').matches);
  document.documentElement.dataset.theme = dark ? 'dark' : 'light';
})();
