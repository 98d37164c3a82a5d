// Everything works without this: it copies a code, holds back a second tap, and looks again for a code.
(function () {
  'use strict';
  function fallback(text) {
    var area = document.createElement('textarea');
    area.value = text;
    area.setAttribute('readonly', '');
    document.body.appendChild(area);
    area.select();
    var done = false;
    try { done = document.execCommand('copy'); } catch (ignored) { done = false; }
    document.body.removeChild(area);
    return done;
  }
  function copy(text, then) {
    if (navigator.clipboard && window.isSecureContext) {
      navigator.clipboard.writeText(text).then(function () { then(true); }, function () { then(fallback(text)); });
    } else {
      then(fallback(text));
    }
  }
  Array.prototype.forEach.call(document.querySelectorAll('[data-copies]'), function (button) {
    var code = document.getElementById(button.getAttribute('data-copies'));
    var said = document.getElementById(button.getAttribute('data-says'));
    if (!code || !said) { return; }
    button.hidden = false;
    button.addEventListener('click', function () {
      copy(code.textContent, function (done) {
        said.textContent = done ? said.getAttribute('data-done') : said.getAttribute('data-failed');
        button.focus();
      });
    });
  });
  Array.prototype.forEach.call(document.querySelectorAll('form[method="post"]'), function (form) {
    var sent = false;
    form.addEventListener('submit', function (event) {
      if (sent) { event.preventDefault(); }
      sent = true;
    });
    // Back from the next page, a form can be used again.
    window.addEventListener('pageshow', function () { sent = false; });
  });
  var waits = document.querySelector('[data-looks-again]');
  if (waits) {
    setTimeout(function () { location.reload(); }, 1000 * Number(waits.getAttribute('data-looks-again')));
  }
}());
